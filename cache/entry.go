package cache

import (
	"iter"
	"slices"
	"time"

	"postwhere/policy"
)

// Entry is an owner as he is kept outside of this process.
type Entry struct {
	Name
	// Owner is the yes, as Recall returns it. Its At is the wall clock's.
	Owner policy.Answer
}

// Owners goes through the living owners, those first that were not asked for the
// longest, but one shard after the other. It locks one for the time that it takes
// to copy it, some megabytes, and none while the caller has an Entry.
func (c *Cache) Owners() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range c.shards {
			s := &c.shards[i]
			s.mu.Lock()
			owners := s.owners.values()
			s.mu.Unlock()
			now := time.Now()
			for j := range owners {
				if e, ok := c.entry(&owners[j], now); ok && !yield(e) {
					return
				}
			}
		}
	}
}

// Stranger is what is remembered about an address that no host is known to have.
// Its local part is in the address's own spelling.
type Stranger struct {
	Name
	Answers []policy.Answer
}

// Strangers goes through the strangers as Owners does through the owners.
func (c *Cache) Strangers() iter.Seq[Stranger] {
	return func(yield func(Stranger) bool) {
		for i := range c.shards {
			s, l := &c.shards[i], c.limits.Load()
			s.mu.Lock()
			strangers := s.strangers.values()
			s.mu.Unlock()
			now := time.Now()
			for j := range strangers {
				st := &strangers[j]
				alive := slices.DeleteFunc(slices.Clone(st.answers), func(a policy.Answer) bool {
					return ageOf(a.At, now) >= l.of(st.name.domain).of(a.Says)
				})
				if len(alive) > 0 && !yield(Stranger{Name{st.name.text(), c.names.word(st.name.domain)}, alive}) {
					return
				}
			}
		}
	}
}

// Look returns the living owner of this name, and is no use of him: he is pushed
// out no later for it.
func (c *Cache) Look(n Name) (e Entry, ok bool) {
	var room [keyRoom]byte
	k := c.namedKey(n, room[:0])
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.owners.peek(k.hash)
	if o == nil || !c.is(&o.name, k) {
		return Entry{}, false
	}
	return c.entry(o, time.Now())
}

// entry returns an owner as he is kept outside; false if he has outlived his time.
func (c *Cache) entry(o *owner, now time.Time) (e Entry, ok bool) {
	age := c.moment(now).since(o.asked)
	if age >= c.limits.Load().of(o.name.domain).Expire {
		return Entry{}, false
	}
	e.Name = Name{o.name.text(), c.names.word(o.name.domain)}
	e.Owner = c.answer(o, now.Round(0).Add(-age))
	return e, true
}

// Restore remembers an owner as he was kept outside, unless more is known: a later
// yes, or a change that a watcher has yet to see. One who is too old, or of a time
// to come, is not remembered: the clock was set back, and his age is unknown. No
// watcher sees what Restore does. It returns whether another was pushed out for it.
func (c *Cache) Restore(e Entry) (pushedOut bool) {
	now := time.Now()
	if !c.isAlive(e, now) {
		return false
	}
	var room [keyRoom]byte
	k := c.namedKey(e.Name, room[:0])
	o, ok := c.newOwner(k, c.trusted(e.Domain, e.Owner, now), now)
	if !ok {
		return false
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := c.watched.Load(); w != nil && w.has(e.Name) || c.purges.hit(k, now, e.Owner) {
		return false
	}
	if known := s.owners.peek(k.hash); known != nil && known.asked.wall >= o.asked.wall {
		return false
	}
	s.quiet = true
	defer func() { s.quiet = false }()
	return s.owners.put(k.hash, o)
}

// isAlive tells whether an owner from outside is of an age that may be remembered.
func (c *Cache) isAlive(e Entry, now time.Time) bool {
	age := ageOf(e.Owner.At, now)
	return e.Owner.Says == policy.Yes && age >= 0 && !e.Owner.At.After(now) && age < c.lifetimes(e.Domain).Expire
}

// Withdraw forgets an owner as Restore remembers one: one who was forgotten at a
// time, unless more is known since.
func (c *Cache) Withdraw(n Name, at time.Time) {
	var room [keyRoom]byte
	k := c.namedKey(n, room[:0])
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := c.watched.Load(); w != nil && w.has(n) {
		return
	}
	if o := s.owners.peek(k.hash); o != nil && c.is(&o.name, k) && o.asked.wall <= at.UnixNano() {
		s.quiet = true
		s.owners.remove(k.hash)
		s.quiet = false
	}
}
