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
	aged := c.moment(now).plus(-c.limits.Load().Refresh)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for _, hash := range s.owners.Keys() {
			if o, _ := s.owners.Peek(hash); o.host == id {
				o.asked, o.held = o.asked.earlier(aged), 0
				s.owners.Add(hash, o)
			}
		}
		s.mu.Unlock()
	}
	if w := c.watched.Load(); w != nil {
		w.lose()
	}
}

// trusted returns a yes that is to be restored: as one to be asked again, if its
// host is distrusted.
func (c *Cache) trusted(yes policy.Answer, now time.Time) policy.Answer {
	if since, ok := c.distrusted.Load(yes.Host); ok && yes.At.Before(since.(time.Time)) {
		if aged := now.Add(-c.limits.Load().Refresh); aged.Before(yes.At) {
			yes.At = aged.Round(0)
		}
	}
	return yes
}
