package config

import (
	"fmt"
	"time"

	"postwhere/cache"
)

// MemoryOptions returns what memory is to be, as package cache takes it. A host that has said
// yes a moment ago may have had the mailbox when the connection was opened: so an owner is asked
// again that much sooner.
func (c *Config) MemoryOptions() cache.Options {
	opt := c.Cache.Options()
	opt.Refresh -= c.MostAge()
	for i := range c.Domain {
		d := &c.Domain[i]
		if !d.hasLifetimes() {
			continue
		}
		if opt.Domains == nil {
			opt.Domains = make(map[string]cache.Lifetimes)
		}
		for _, name := range d.remembered() {
			life := d.lifetimes(c.Cache)
			life.Refresh -= c.MostAge()
			opt.Domains[name] = life
		}
	}
	return opt
}

// LongestExpire returns how long the owner lives that lives the longest.
func (c *Config) LongestExpire() time.Duration {
	longest := time.Duration(0)
	for i := range c.Domain {
		longest = max(longest, c.Domain[i].lifetimes(c.Cache).Expire)
	}
	return longest
}

// MostAge returns how long a connection to a host is asked, which answers from what it knew when
// the connection was opened: a minute, but no longer than half of what an answer counts at least.
// The other half is for the question.
func (c *Config) MostAge() time.Duration {
	life := c.Cache.Options().Lifetimes
	shortest := min(2*time.Minute, life.No, life.Refresh)
	for i := range c.Domain {
		life := c.Domain[i].lifetimes(c.Cache)
		shortest = min(shortest, life.No, life.Refresh)
	}
	return shortest / 2
}

// NoLife returns how long a host's no about a domain counts.
func (c *Config) NoLife(about *Domain) time.Duration { return about.lifetimes(c.Cache).No }

// hasLifetimes tells whether the domain has some of its own.
func (d *Domain) hasLifetimes() bool {
	return d.OwnerRefresh != nil || d.OwnerExpire != nil || d.NoExpire != nil || d.UnsureExpire != nil
}

// remembered returns the spellings of the domain in addresses as memory has them:
// those that hosts are asked about.
func (d *Domain) remembered() []string {
	if d.AskAs != "" {
		return []string{d.AskAs}
	}
	return d.Name
}

// lifetimes returns the domain's, those of the cache where it has none of its own.
func (d *Domain) lifetimes(of Cache) cache.Lifetimes {
	life := of.Options().Lifetimes
	for _, t := range []struct {
		own *Duration
		of  *time.Duration
	}{
		{d.OwnerRefresh, &life.Refresh}, {d.OwnerExpire, &life.Expire},
		{d.NoExpire, &life.No}, {d.UnsureExpire, &life.Unsure},
	} {
		if t.own != nil {
			*t.of = time.Duration(*t.own)
		}
	}
	return life
}

// checkLifetimes checks those that domains have of their own.
func (c *Config) checkLifetimes(wrong *problems) {
	for i := range c.Domain {
		d := &c.Domain[i]
		for _, t := range []struct {
			key   string
			value *Duration
		}{{"owner_refresh", d.OwnerRefresh}, {"no_expire", d.NoExpire}, {"unsure_expire", d.UnsureExpire}} {
			if t.value != nil && *t.value <= 0 {
				wrong.add("domain %s: %s must be more than 0", d.title(i), t.key)
			}
		}
		life := d.lifetimes(c.Cache)
		if (d.OwnerRefresh != nil || d.OwnerExpire != nil) && life.Expire < life.Refresh {
			wrong.add("domain %s: owner_expire (%s) is shorter than owner_refresh (%s)", d.title(i),
				whose(d.OwnerExpire, life.Expire), whose(d.OwnerRefresh, life.Refresh))
		}
		if c.Cache.Shared.Address != "" && d.OwnerExpire != nil && life.Expire < time.Second {
			wrong.add("domain %s: owner_expire = %s: want 1s at least of what is shared", d.title(i), *d.OwnerExpire)
		}
	}
}

// whose says a lifetime, and if it is not the domain's own.
func whose(own *Duration, life time.Duration) string {
	if own == nil {
		return fmt.Sprintf("%s, of [cache]", Duration(life))
	}
	return own.String()
}
