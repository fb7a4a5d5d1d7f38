package cache

import (
	"hash/maphash"
	"math/bits"
	"unicode"
	"unicode/utf8"

	"postwhere/policy"
)

// keyRoom is room on the stack for the local part of any address, twice: an
// address has at most 254 octets (RFC 5321 section 4.5.3.1.3).
const keyRoom = 512

// key is what an entry is looked up by. The LRUs have its hash only: a number is
// a small key, and needs no string to be made for a look-up. The hash is of a
// secret seed; an entry is believed only if its name is that of the key, too, and
// of two addresses with one hash the later drives out the other.
type key struct {
	hash   uint64
	local  []byte
	domain string
}

// keys returns both keys of an address: folded, of the owner (Address.Key in
// parts), and spelled, of the stranger, the address in its very spelling. Both are of
// one shard. The local parts are appended to room.
func (c *Cache) keys(a policy.Address, room []byte) (folded, spelled key) {
	local, domain := a.Local(), a.Domain()
	room = appendFolded(room, local)
	folded = key{hash: c.hash(room, domain), local: room, domain: domain}
	if string(room) == local {
		return folded, folded
	}
	room = append(room, local...)[len(room):]
	// The first bits are the shard's: its stores are sorted by the others alone, and do
	// not find what has any but those.
	rest := ^uint64(0) >> c.split
	hash := folded.hash&^rest | c.hash(room, domain)&rest
	return folded, key{hash: hash, local: room, domain: domain}
}

// namedKey returns the key of an owner. The local part is appended to room.
func (c *Cache) namedKey(n Name, room []byte) key {
	room = appendFolded(room, n.Local)
	return key{hash: c.hash(room, n.Domain), local: room, domain: n.Domain}
}

// hash returns the hash of an address. Its last bits are 0: stores have flags there.
func (c *Cache) hash(local []byte, domain string) uint64 {
	return (maphash.Bytes(c.seed, local) ^ bits.RotateLeft64(maphash.String(c.seed, domain), 32)) &^ flags
}

// appendFolded appends s as strings.ToLower has it, without making a string.
func appendFolded(dst []byte, s string) []byte {
	for i := range len(s) {
		b := s[i]
		if b >= utf8.RuneSelf {
			for _, r := range s[i:] {
				dst = utf8.AppendRune(dst, unicode.ToLower(r))
			}
			return dst
		}
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}

// nameRoom is the longest local part that is within the entry.
const nameRoom = 21

// name is the address in an entry. What a look-up has to read is here and not
// behind a pointer: of millions of entries each pointer that is followed costs
// more than all the rest of the look-up.
type name struct {
	long   *string // the local part if it is longer than nameRoom
	domain uint16  // in the cache's names
	n      uint8   // length of the local part if it is within the entry
	local  [nameRoom]byte
}

// newName returns a key's name; false if there is no room for its domain.
func (c *Cache) newName(k key) (n name, ok bool) {
	if n.domain, ok = c.names.id(k.domain); !ok {
		return name{}, false
	}
	if len(k.local) > nameRoom {
		long := string(k.local)
		n.long = &long
	} else {
		n.n = uint8(copy(n.local[:], k.local))
	}
	return n, true
}

// text returns the local part of a name.
func (n *name) text() string {
	if n.long != nil {
		return *n.long
	}
	return string(n.local[:n.n])
}

// is tells whether a name is that of a key.
func (c *Cache) is(n *name, k key) bool {
	if n.long != nil {
		if *n.long != string(k.local) {
			return false
		}
	} else if string(n.local[:n.n]) != string(k.local) {
		return false
	}
	return c.names.word(n.domain) == k.domain
}
