package cache

import (
	"math"
	"time"

	"postwhere/policy"
)

// owner is the yes of a mailbox's host, in 80 bytes: with what the LRU adds,
// 144 bytes, one of the sizes that Go's allocator has.
type owner struct {
	name     name
	asked    moment
	held     int64  // not stale before, by the monotonic clock
	took     uint32 // microseconds
	host     uint16 // in the cache's names
	method   uint16 // in the cache's names
	code     uint16
	enhanced uint8 // in the cache's codes
	weak     bool
}

// maxEnhanced is the longest enhanced code (RFC 3463 section 2): 5.999.999.
const maxEnhanced = 9

// newOwner returns the entry of a yes; false if there is no room for the names in
// it: better none than one without its host. A yes of a time to come, as another
// front end's clock may have it, is remembered, but as one to be asked again at
// once.
func (c *Cache) newOwner(k key, yes policy.Answer, now time.Time) (o owner, ok bool) {
	at := yes.At
	if ageOf(at, now) < 0 {
		at = now.Add(-c.life.Refresh)
	}
	if o.name, ok = c.newName(k); !ok {
		return owner{}, false
	}
	if o.host, ok = c.names.id(yes.Host); !ok {
		return owner{}, false
	}
	if o.method, ok = c.names.id(yes.Method); !ok {
		return owner{}, false
	}
	o.asked = c.moment(anchored(at, now))
	o.took = uint32(min(max(yes.Took.Microseconds(), 0), math.MaxUint32))
	o.weak = yes.Weak
	if code := yes.Reply.Code; 0 <= code && code <= math.MaxUint16 {
		o.code = uint16(code)
	}
	if len(yes.Reply.Enhanced) <= maxEnhanced {
		// Where the table is full it is 0: no enhanced code.
		o.enhanced, _ = c.codes.id8(yes.Reply.Enhanced)
	}
	return o, true
}

// answer returns the yes that an entry remembers, as of at.
func (c *Cache) answer(o *owner, at time.Time) policy.Answer {
	return policy.Answer{
		Host:   c.names.word(o.host),
		Says:   policy.Yes,
		Weak:   o.weak,
		Reply:  policy.Reply{Code: int(o.code), Enhanced: c.codes.word(uint16(o.enhanced))},
		Method: c.names.word(o.method),
		At:     at,
		Took:   time.Duration(o.took) * time.Microsecond,
	}
}

// dropOwner forgets the owner. The shard is locked.
func (c *Cache) dropOwner(s *shard, k key) {
	if o, ok := s.owners.Peek(k.hash); ok && c.is(&o.name, k) {
		s.owners.Remove(k.hash)
	}
}
