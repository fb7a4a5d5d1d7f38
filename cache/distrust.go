package cache

import (
	"maps"
	"sync"
	"time"

	"postwhere/policy"
)

// Distrust has those owners of a host asked again at their next look-up who were asked
// before a time: the host of that name may be another since. That goes for those, too,
// who come later, from a file or another front end.
func (c *Cache) Distrust(host string, since time.Time) {
	now := time.Now()
	if since = anchored(since, now); since.After(now) { // by a clock that was set back since
		since = now
	}
	c.distrusted.add(host, since)
	id, ok := c.names.id(host)
	if !ok {
		return
	}
	m, bound, l := c.moment(now), c.moment(since), c.limits.Load()
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		for o := range s.owners.all() {
			if o.host == id && (o.asked.wall <= bound.wall || o.asked.mono <= bound.mono) {
				o.asked, o.held = o.asked.earlier(m.plus(-l.of(o.name.domain).Refresh)), 0
			}
		}
		s.mu.Unlock()
	}
	if w := c.watched.Load(); w != nil {
		w.age()
	}
}

// Distrusted returns since when each host is, as long as owners may be remembered who
// were asked before. The times are the wall clock's, to be kept over a restart.
func (c *Cache) Distrusted() map[string]time.Time {
	all := make(map[string]time.Time)
	longest := c.limits.Load().longestExpire()
	for host, since := range c.distrusted.all() {
		if time.Since(since) < longest {
			all[host] = since.Round(0)
		}
	}
	return all
}

// Distrusts tells whether a yes is from before its host was distrusted.
func (c *Cache) Distrusts(yes policy.Answer) bool { return yes.At.Before(c.distrusted.since(yes.Host)) }

// trusted returns the yes of an owner as one to be asked again, if its host is distrusted.
func (c *Cache) trusted(domain string, yes policy.Answer, now time.Time) policy.Answer {
	if c.Distrusts(yes) {
		if aged := now.Add(-c.lifetimes(domain).Refresh); aged.Before(yes.At) {
			yes.At = aged.Round(0)
		}
	}
	return yes
}

// distrusted is since when hosts are, by name: as many as the configuration had. The
// zero value is none.
type distrusted struct {
	mu    sync.RWMutex
	hosts map[string]time.Time
}

func (d *distrusted) add(host string, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hosts == nil {
		d.hosts = make(map[string]time.Time)
	}
	if d.hosts[host].Before(since) {
		d.hosts[host] = since
	}
}

// since returns since when a host is, zero if it is not.
func (d *distrusted) since(host string) time.Time {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.hosts[host]
}

func (d *distrusted) all() map[string]time.Time {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return maps.Clone(d.hosts)
}
