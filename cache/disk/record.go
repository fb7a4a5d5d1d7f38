package disk

import (
	"encoding/binary"
	"math"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// What a frame is of: its first octet.
const (
	frameOwners = 'O'
	frameNote   = 'N'
)

// What is told of an owner.
const (
	recordOwned = 1
	recordGone  = 2
)

// Change is what the file tells of one owner.
type Change struct {
	cache.Entry // of one who is gone: his name
	Gone        bool
	At          time.Time // since when he is gone
}

// appendOwned appends an owner.
func appendOwned(to []byte, e cache.Entry) []byte {
	a := e.Owner
	to = append(to, recordOwned)
	to = appendText(to, e.Domain)
	to = appendText(to, e.Local)
	to = binary.BigEndian.AppendUint64(to, uint64(a.At.UnixNano()))
	to = binary.BigEndian.AppendUint16(to, uint16(min(max(a.Took.Milliseconds(), 0), math.MaxUint16)))
	to = binary.BigEndian.AppendUint16(to, uint16(a.Reply.Code)) //nolint:gosec // a cache keeps no other
	weak := byte(0)
	if a.Weak {
		weak = 1
	}
	to = append(to, weak)
	to = appendText(to, a.Host)
	to = appendText(to, a.Method)
	return appendText(to, a.Reply.Enhanced)
}

// appendGone appends that an owner is no more.
func appendGone(to []byte, n cache.Name, at time.Time) []byte {
	to = append(to, recordGone)
	to = appendText(to, n.Domain)
	to = appendText(to, n.Local)
	return binary.BigEndian.AppendUint64(to, uint64(at.UnixNano()))
}

func appendText(to []byte, s string) []byte {
	return append(binary.AppendUvarint(to, uint64(len(s))), s...)
}

// noteFrame returns the payload of a note.
func noteFrame(name string, note []byte) []byte {
	return append(appendText([]byte{frameNote}, name), note...)
}

// readNote reads a note; is tells whether the payload is one.
func readNote(payload []byte) (name string, note []byte, is bool, err error) {
	r := reader{rest: payload}
	if r.octet() != frameNote {
		return "", nil, false, nil
	}
	name = string(r.text())
	if r.short {
		return "", nil, false, badFile("has a note that is cut short")
	}
	return name, append([]byte(nil), r.rest...), true, nil
}

// decoder reads owners. It makes few strings of those that they have in common.
type decoder struct{ known map[string]string }

func newDecoder() *decoder { return &decoder{known: make(map[string]string)} }

// maxKnown is how many strings are had in common at most.
const maxKnown = 1 << 16

func (d *decoder) common(text []byte) string {
	if s, ok := d.known[string(text)]; ok {
		return s
	}
	s := string(text)
	if len(d.known) < maxKnown {
		d.known[s] = s
	}
	return s
}

// owners visits what a frame tells of owners. If the file was written later than it
// is now, the clock was set back, and everything is older by so much than it says.
func (d *decoder) owners(payload []byte, written time.Time, visit func(Change)) error {
	r := reader{rest: payload}
	switch r.octet() {
	case frameNote:
		return nil
	case frameOwners:
	default:
		return badFile("has something of an unknown kind")
	}
	late := max(time.Until(written), 0)
	for len(r.rest) > 0 && !r.short {
		var c Change
		kind := r.octet()
		c.Domain, c.Local = d.common(r.text()), string(r.text())
		at := time.Unix(0, int64(r.uint64())) //nolint:gosec // as it was written
		switch kind {
		case recordGone:
			c.Gone, c.At = true, at
		case recordOwned:
			c.Owner = policy.Answer{Says: policy.Yes, Took: time.Duration(r.uint16()) * time.Millisecond}
			c.Owner.Reply.Code = int(r.uint16())
			c.Owner.Weak = r.octet() == 1
			c.Owner.Host, c.Owner.Method = d.common(r.text()), d.common(r.text())
			c.Owner.Reply.Enhanced = d.common(r.text())
			c.Owner.At = at.Add(-late)
		default:
			return badFile("has a record of an unknown kind")
		}
		if !r.short {
			visit(c)
		}
	}
	if r.short {
		return badFile("has a record that is cut short")
	}
	return nil
}

// reader takes a payload apart. If there is too little it is short, and reads zeros.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) octet() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) text() []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.short, r.rest = true, nil
		return nil
	}
	r.rest = r.rest[size:]
	return r.take(n)
}
