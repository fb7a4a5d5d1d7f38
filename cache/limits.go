package cache

import "time"

// limits are what Adjust may change.
type limits struct {
	Lifetimes
	domains           []*Lifetimes // by the number of those that have their own; else nil
	owners, strangers int          // of a shard
}

// of returns the lifetimes of what is remembered about a domain's addresses.
func (l *limits) of(domain uint16) *Lifetimes {
	if int(domain) < len(l.domains) && l.domains[domain] != nil {
		return l.domains[domain]
	}
	return &l.Lifetimes
}

// limitsOf returns what a shard is held to. With more shards than entries, which
// Adjust may come to, one may hold one entry.
func (c *Cache) limitsOf(opt Options) *limits {
	of := func(n int) int {
		if n > 0 {
			return max(n>>c.split, 1)
		}
		return n
	}
	l := &limits{Lifetimes: opt.Lifetimes, owners: of(opt.Owners), strangers: of(opt.Strangers)}
	for domain, own := range opt.Domains {
		id, ok := c.names.id(domain)
		if !ok {
			continue // nothing is remembered of it either
		}
		for len(l.domains) <= int(id) {
			l.domains = append(l.domains, nil)
		}
		l.domains[id] = &own
	}
	return l
}

// longestExpire returns how long an owner lives at most.
func (l *limits) longestExpire() time.Duration {
	longest := l.Expire
	for _, own := range l.domains {
		if own != nil {
			longest = max(longest, own.Expire)
		}
	}
	return longest
}

// lifetimes returns those of what is remembered about a domain's addresses.
func (c *Cache) lifetimes(domain string) *Lifetimes {
	id, _ := c.names.id(domain) // 0, the domain "", if it has none
	return c.limits.Load().of(id)
}

// Expire returns how long owners of a domain's addresses live; see Lifetimes.
func (c *Cache) Expire(domain string) time.Duration { return c.lifetimes(domain).Expire }
