package probe

import (
	"slices"
	"strings"
	"time"

	"postwhere/policy"
)

// credit is what a no that the hosts behind one name gave a while ago is worth.
type credit struct {
	said    []time.Time // of when the last yes of each of them is
	refuses bool        // one has refused a witness, and nobody has vouched for that yet
	turned  time.Time
	doubted time.Time
}

// heardFor is how long before a no that is remembered the host behind a name which gave it may
// have last said yes: its yes was a minute old, is kept by the minute, and one over an older
// connection may have come after it.
const heardFor = 3 * time.Minute

// credit is what memory's noes about the domain are worth. Which of several hosts behind one
// name gave one is not known: each that may have has to have said yes of late. The lock is held.
func (s *had) credit() credit {
	c := credit{turned: s.turned, doubted: s.doubted}
	for _, v := range s.voices {
		switch {
		case !v.said.IsZero():
			c.said = append(c.said, v.said)
		case v.denies.IsZero(): // it has just refused a witness
			c.refuses = true
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

// revokes tells whether a no about an address of a domain, which is as old as that, is not to be
// believed: it is from before the host began to deny what it had, or from before it had somebody
// again.
func (t *testimony) revokes(domain string, no time.Time) bool {
	known, ok := t.credits.Load(domain)
	return ok && !no.After(known.(credit).turned) //nolint:forcetypeassert // nothing else is stored
}

// vouches tells whether a no about a domain that the host gave a while ago would be believed if
// it were said now.
func (t *testimony) vouches(domain string, no, now time.Time) bool {
	known, ok := t.credits.Load(domain)
	if !ok {
		return true
	}
	c := known.(credit) //nolint:forcetypeassert // nothing else is stored
	if isGone(c.doubted, now) {
		return true
	}
	one := false
	for _, said := range c.said {
		fresh := now.Sub(said) < witnessFresh
		if one = one || fresh; !fresh && said.After(no.Add(-heardFor)) {
			return false
		}
	}
	return one && !c.refuses
}

// Revoked tells whether the host's no about an address of a domain, which is as old as that, is
// not to be believed: it was found since to deny what it had. It asks nobody, and may be called
// concurrently.
func (p *Prober) Revoked(domain string, no time.Time) bool { return p.testimony.revokes(domain, no) }

// Vouched tells whether a no that the host gave a while ago about an address of a domain would
// be believed if it were said now. It asks nobody, and may be called concurrently.
func (p *Prober) Vouched(domain string, no, now time.Time) bool {
	return p.testimony.vouches(domain, no, now)
}

// Revoked is Prober.Revoked.
func (p *MingerProber) Revoked(domain string, no time.Time) bool {
	return p.testimony.revokes(domain, no)
}

// Vouched is Prober.Vouched.
func (p *MingerProber) Vouched(domain string, no, now time.Time) bool {
	return p.testimony.vouches(domain, no, now)
}

// Saw notes that another front end has heard the host say that it has a mailbox: from then on it
// has to have that one or another, or its no is not believed. It asks nobody, and may be called
// concurrently.
func (p *Prober) Saw(a policy.Address, at time.Time) {
	p.testimony.saw(a.Domain(), a.String(), at, time.Now())
}

// Saw is Prober.Saw.
func (p *MingerProber) Saw(a policy.Address, at time.Time) {
	p.testimony.saw(a.Domain(), a.String(), at, time.Now())
}
