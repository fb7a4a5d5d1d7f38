package cache

import (
	"time"

	"postwhere/policy"
)

// Distrust has the owners of a host asked again at their next look-up: the host of
// that name may be another now. That goes for those, too, who are restored
// afterwards and were asked before.
func (c *Cache) Distrust(host string) {
	now := time.Now()
	c.distrusted.Store(host, now)
	id, ok := c.names.id(host)
	if !ok {
		return
	}
	m, l := c.moment(now), c.limits.Load()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for o := range s.owners.all() {
			if o.host == id {
				o.asked, o.held = o.asked.earlier(m.plus(-l.of(o.name.domain).Refresh)), 0
			}
		}
		s.mu.Unlock()
	}
	if w := c.watched.Load(); w != nil {
		w.lose()
	}
}

// trusted returns the yes of an owner who is to be restored: as one to be asked again,
// if its host is distrusted.
func (c *Cache) trusted(e Entry, now time.Time) policy.Answer {
	yes := e.Owner
	if since, ok := c.distrusted.Load(yes.Host); ok && yes.At.Before(since.(time.Time)) {
		if aged := now.Add(-c.lifetimes(e.Domain).Refresh); aged.Before(yes.At) {
			yes.At = aged.Round(0)
		}
	}
	return yes
}
