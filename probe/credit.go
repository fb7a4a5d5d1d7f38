package probe

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// credit is what a no that the hosts behind one name gave a while ago is worth.
type credit struct {
	said    time.Time // when one of them last said yes
	turned  time.Time
	doubted time.Time
}

// credit is what memory's noes about the domain are worth. Which of several hosts behind one
// name gave one is not known: that any of them said yes of late is enough.
func (s *had) credit() credit {
	c := credit{turned: s.turned, doubted: s.doubted}
	for _, v := range s.voices {
		if v.said.After(c.said) {
			c.said = v.said
		}
	}
	return c
}

// deniesShown is how long after it last did a host is said to deny what it had, if another
// behind its name does not.
const deniesShown = 10 * time.Minute

// deniesSince returns since when a host does not vouch for what it denies; zero: none
// does that, or for so long that it is believed. The lock is held.
func (s *had) deniesSince(now time.Time) (since time.Time) {
	if isGone(s.doubted, now) {
		return since
	}
	since = s.doubted
	for _, v := range s.voices {
		if !v.denies.IsZero() && now.Sub(v.denied) < deniesShown && (since.IsZero() || v.denies.Before(since)) {
			since = v.denies
		}
	}
	return since
}

// denials returns the domains in which a no is not believed.
func (t *testimony) denials(now time.Time) []Denial {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []Denial
	for domain, s := range t.known {
		if since := s.deniesSince(now); !since.IsZero() {
			all = append(all, Denial{domain, printable(s.addresses[0]), since})
		}
	}
	slices.SortFunc(all, func(a, b Denial) int { return strings.Compare(a.Domain, b.Domain) })
	return all
}

// isGone tells whether a host that refuses all of its witnesses since then has done so for so
// long that it may have none.
func isGone(doubted, now time.Time) bool {
	return !doubted.IsZero() && now.Sub(doubted) >= witnessLife
}

// vouches tells whether a no about an address of a domain, which is as old as that, would be
// believed if it were said now. One is not that is from before the host began to deny what it
// had, or from before it had somebody again.
func (t *testimony) vouches(domain string, no, now time.Time) bool {
	known, ok := t.credits.Load(domain)
	if !ok {
		return true
	}
	c := known.(credit) //nolint:forcetypeassert // nothing else is stored
	return no.After(c.turned) && (now.Sub(c.said) < witnessFresh || isGone(c.doubted, now))
}

// Vouched tells whether the host's no about an address of a domain, which is as old as that,
// would be believed if the host said it now. It asks nobody, and may be called
// concurrently.
func (p *Prober) Vouched(domain string, no, now time.Time) bool {
	return p.testimony.vouches(domain, no, now)
}

// Vouched tells whether the host's no about an address of a domain, which is as old as that,
// would be believed if the host said it now. It asks nobody, and may be called
// concurrently.
func (p *MingerProber) Vouched(domain string, no, now time.Time) bool {
	return p.testimony.vouches(domain, no, now)
}

// turns are when the host of each greeting last began to deny what it had, or had somebody
// again. The zero value is none; it may be used concurrently.
type turns struct {
	mu   sync.Mutex
	last map[string]time.Time
}

func (t *turns) note(greeting string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil || len(t.last) >= mostBehind {
		t.last = make(map[string]time.Time)
	}
	t.last[greeting] = now
}

// since tells whether the host has turned since a connection to it was opened.
func (t *turns) since(greeting string, born time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at, ok := t.last[greeting]
	return ok && !born.After(at)
}
