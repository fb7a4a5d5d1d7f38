package cache

import (
	"math"
	"time"

	"postwhere/policy"
)

// owner is the yes of a mailbox's host, in 64 bytes: of millions of owners a look-up
// costs what it costs to fetch them.
type owner struct {
	name     name
	asked    moment
	held     uint32 // milliseconds after asked; not stale before
	took     uint16 // milliseconds
	host     uint16 // in the cache's names
	code     uint16
	method   uint8 // in the cache's methods
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
	if o.name, ok = c.newName(k); !ok {
		return owner{}, false
	}
	at := yes.At
	if ageOf(at, now) < 0 {
		at = now.Add(-c.limits.Load().of(o.name.domain).Refresh)
	}
	if o.host, ok = c.names.id(yes.Host); !ok {
		return owner{}, false
	}
	// What the administrator alone wants to know may be left out: 0 is "".
	o.method = c.methods.id8(yes.Method)
	o.asked = c.moment(anchored(at, now))
	o.took = uint16(min(max(yes.Took.Milliseconds(), 0), math.MaxUint16))
	o.weak = yes.Weak
	if code := yes.Reply.Code; 0 <= code && code <= math.MaxUint16 {
		o.code = uint16(code)
	}
	if len(yes.Reply.Enhanced) <= maxEnhanced {
		o.enhanced = c.codes.id8(yes.Reply.Enhanced)
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
		Method: c.methods.word(uint16(o.method)),
		At:     at,
		Took:   time.Duration(o.took) * time.Millisecond,
	}
}

// hold keeps the owner from being stale until now and d more.
func (o *owner) hold(now moment, d time.Duration) {
	until := time.Duration(now.mono-o.asked.mono) + d
	until += time.Millisecond - 1 // rounded up: d may have been shortened as far as that goes
	o.held = uint32(min(max(until.Milliseconds(), 0), math.MaxUint32))
}

// isHeld tells whether hold still holds. By the monotonic clock alone: nothing is
// lost if it is wrong. An owner of more than 49 days is held no more.
func (o *owner) isHeld(now moment) bool {
	return time.Duration(now.mono-o.asked.mono).Milliseconds() < int64(o.held)
}

// dropOwner forgets the owner. The shard is locked. Who watches hears of one that
// is not known, too: he may be known outside.
func (c *Cache) dropOwner(s *shard, k key) {
	if o := s.owners.peek(k.hash); o != nil && c.is(&o.name, k) {
		s.owners.remove(k.hash)
	} else if w := c.watched.Load(); w != nil {
		w.add(Name{string(k.local), k.domain})
	}
}
