package cache

import "time"

// adoptStep is how much later a yes must be to count as another. What goes out of this
// process and comes back may differ in its last digits.
const adoptStep = time.Millisecond

// Adopt remembers an owner that another front end has found, unless more is known:
// a later yes, or a purge since. One who is too old, or of a time to come, is not
// remembered. Watchers see him, as one that was learnt here.
func (c *Cache) Adopt(e Entry) {
	now := time.Now()
	if !c.isAlive(e, now) {
		return
	}
	var room [keyRoom]byte
	k := c.namedKey(e.Name, room[:0])
	o, ok := c.newOwner(k, c.trusted(e.Domain, e.Owner, now), now)
	if !ok {
		return
	}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.purges.hit(k, now, e.Owner) {
		return
	}
	known := s.owners.peek(k.hash)
	switch {
	case known != nil && c.is(&known.name, k) && known.asked.wall+int64(adoptStep) > o.asked.wall:
		return
	case known != nil && !c.is(&known.name, k):
		c.note(&known.name) // of two addresses with one hash the later stays
	}
	s.owners.put(k.hash, o)
	c.note(&o.name)
}

// Abandon forgets an owner who was denied to another front end at a time, unless
// he was asked since. Watchers see that he is gone.
func (c *Cache) Abandon(n Name, denied time.Time) {
	var room [keyRoom]byte
	k := c.namedKey(n, room[:0])
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owners.peek(k.hash); o != nil && c.is(&o.name, k) && o.asked.wall <= denied.UnixNano() {
		s.owners.remove(k.hash)
	}
}
