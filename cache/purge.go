package cache

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"postwhere/policy"
)

// Purge says what is to be forgotten: of its fields one is set.
type Purge struct {
	Name      Name   // an address: its owner, and strangers of all its spellings
	Domain    string // all of a domain
	Host      string // owners that the host has, and all strangers of whom it spoke
	Strangers bool   // all strangers
	All       bool
}

// Purge forgets, and returns how many owners and strangers. What a host was asked
// before is not remembered afterwards either, and is no reason to refuse anybody, for
// which see Purged.
func (c *Cache) Purge(p Purge) (owners, strangers int) {
	p.Name.Local = string(appendFolded(nil, p.Name.Local))
	if tooMany := c.purges.add(p, time.Now()); tooMany {
		c.ForgetStrangers()
	}
	isPurged := func(st *stranger) bool { return c.isPurged(&p, st) }
	if p.Name != (Name{}) {
		var room [keyRoom]byte
		k := c.namedKey(p.Name, room[:0])
		s := c.shard(k) // of all spellings
		s.mu.Lock()
		if o := s.owners.peek(k.hash); o != nil && c.is(&o.name, k) {
			owners = 1
		}
		c.dropOwner(s, k)
		s.mu.Unlock()
		return owners, purgeBySteps(s, &s.strangers, isPurged)
	}
	for i := range c.shards {
		s := &c.shards[i]
		owners += purgeBySteps(s, &s.owners, func(o *owner) bool {
			return p.answer(c.names.word(o.name.domain), policy.Answer{Host: c.names.word(o.host), Says: policy.Yes})
		})
		strangers += purgeBySteps(s, &s.strangers, isPurged)
	}
	if w := c.watched.Load(); w != nil && !p.Strangers {
		w.lose() // of those, too, who are known outside only
	}
	return owners, strangers
}

// purgeStep is how many entries of a shard a purge looks at under one lock: it holds
// up nobody for longer than a fraction of a millisecond.
const purgeStep = 200

// purgeBySteps forgets those entries of a shard that match, and tells nobody.
func purgeBySteps[V any](s *shard, of *store[V], match func(*V) bool) (n int) {
	var hash uint64
	matching := make([]uint64, 0, purgeStep)
	for more := true; more; {
		s.mu.Lock()
		matching, hash, more = of.matching(matching[:0], hash, purgeStep, match)
		s.quiet = true
		for _, hash := range matching {
			of.remove(hash)
		}
		s.quiet = false
		s.mu.Unlock()
		n += len(matching)
		runtime.Gosched() // else the lock would be ours again before who waits for it wakes up
	}
	return n
}

// isPurged tells whether a stranger is among what is purged.
func (c *Cache) isPurged(p *Purge, st *stranger) bool {
	return p.stranger(Name{st.name.text(), c.names.word(st.name.domain)}, st.answers)
}

// stranger tells whether a stranger is among what is purged.
func (p *Purge) stranger(n Name, answers []policy.Answer) bool {
	if p.Name != (Name{}) {
		return p.Name.Domain == n.Domain && p.Name.Local == string(appendFolded(nil, n.Local))
	}
	return slices.ContainsFunc(answers, func(a policy.Answer) bool { return p.answer(n.Domain, a) })
}

// Bounds of what is known of purges. Beyond them all that is older than the last of
// them is taken for purged, which costs questions.
const (
	maxPurgedNames = 10_000
	maxPurges      = 100
	// purgeLife is longer than any search: afterwards no answer comes from before.
	purgeLife = 10 * time.Minute
)

// purges are those of late. The zero value is none.
type purges struct {
	mu     sync.Mutex
	names  map[Name]time.Time
	others []timedPurge
	all    time.Time
	last   atomic.Pointer[time.Time] // of the last one; nil: there was none
}

// Purged tells whether one of the answers about an address is from before a purge of
// late that it falls under.
func (c *Cache) Purged(a policy.Address, answers []policy.Answer) bool {
	if c.purges.last.Load() == nil {
		return false
	}
	now := time.Now()
	if c.purges.areLongOver(now) {
		return false
	}
	var room [keyRoom]byte
	k := key{local: appendFolded(room[:0], a.Local()), domain: a.Domain()}
	return c.purges.hit(k, now, answers...)
}

type timedPurge struct {
	Purge
	at time.Time
}

// add notes a purge. It returns whether there were too many, and all counts as purged.
func (p *purges) add(of Purge, now time.Time) (tooMany bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.areLongOver(now) {
		p.names, p.others = nil, nil
	}
	p.last.Store(&now)
	switch {
	case of.All:
		p.all = now
	case of.Name != (Name{}):
		if p.names == nil {
			p.names = make(map[Name]time.Time)
		}
		p.names[of.Name] = now
	default:
		p.others = append(p.others, timedPurge{of, now})
	}
	if tooMany = len(p.names) > maxPurgedNames || len(p.others) > maxPurges; tooMany {
		p.names, p.others, p.all = nil, nil, now
	}
	return tooMany
}

// areLongOver tells whether no answer comes from before a purge any more. One that begins
// now is yet to look through the shards, each of which is locked for whoever asks this in
// order to remember something.
func (p *purges) areLongOver(now time.Time) bool {
	last := p.last.Load()
	return last == nil || now.Sub(*last) > purgeLife
}

// hit tells whether one of the answers about an address is from before a purge of
// it. The key is folded.
func (p *purges) hit(k key, now time.Time, answers ...policy.Answer) bool {
	if p.areLongOver(now) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	named := p.names[Name{string(k.local), k.domain}]
	for _, a := range answers {
		if a.At.Before(p.all) || a.At.Before(named) {
			return true
		}
		for _, of := range p.others {
			if a.At.Before(of.at) && of.answer(k.domain, a) {
				return true
			}
		}
	}
	return false
}

// answer tells whether an answer about an address of a domain is among what is
// purged, by a purge that is not of one address.
func (p *Purge) answer(domain string, a policy.Answer) bool {
	return p.All || p.Domain == domain || p.Host != "" && p.Host == a.Host || p.Strangers && a.Says != policy.Yes
}
