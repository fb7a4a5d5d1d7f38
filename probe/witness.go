package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"postwhere/policy"
)

// A host whose directory is broken, or that is shut for maintenance, may say "user
// unknown" to everybody, in the very words in which it refuses a stranger. So a no
// is believed only from a host that has lately said yes to somebody, or still
// does: the mailboxes that it was seen to have are its witnesses. Of several behind one
// name each has to, or one that is broken would be vouched for by what another says.
const (
	witnesses    = 3
	mostBehind   = 32          // hosts behind one name of which it is known when they said yes
	witnessFresh = time.Minute // a yes no older than this vouches for a no
	// witnessLife is how long a host that refuses all of its witnesses is not
	// believed: they may have moved away, and then it is right. It begins when it
	// first does: before, nobody may have written to it for days.
	witnessLife = 4 * time.Hour
)

// testimony is what the hosts behind one name were seen to have, by domain. The zero value
// is ready; it may be used concurrently.
type testimony struct {
	mu    sync.Mutex
	known map[string]*had
}

type had struct {
	addresses []string             // in the form of the dialogue, the latest first
	said      map[string]time.Time // when the host of each greeting last said yes
	doubted   time.Time            // since when it refuses them all; zero: it does not
}

// yes notes that the host of that greeting has a mailbox. Its postmaster's is none: every
// host must take mail for him (RFC 5321 section 4.5.1), and Exim, as it comes, does so
// before it looks whether there is one.
func (t *testimony) yes(domain, greeting, address string, now time.Time) {
	if strings.EqualFold(address, "postmaster@"+domain) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.witness(domain, address)
	if s == nil {
		return
	}
	if len(s.said) >= mostBehind {
		clear(s.said)
	}
	s.said[greeting], s.doubted = now, time.Time{}
}

// witness notes a mailbox, and returns what is known of its domain; nil if there are too
// many. The lock is held.
func (t *testimony) witness(domain, address string) *had {
	if t.known == nil {
		t.known = make(map[string]*had)
	}
	s := t.known[domain]
	if s == nil {
		if len(t.known) >= maxCalibrations {
			return nil
		}
		s = &had{said: make(map[string]time.Time)}
		t.known[domain] = s
	}
	if !slices.Contains(s.addresses, address) {
		s.addresses = append([]string{address}, s.addresses[:min(len(s.addresses), witnesses-1)]...)
	}
	return s
}

// doubt notes that the host refuses all of its witnesses.
func (t *testimony) doubt(domain string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.known[domain]; s != nil && s.doubted.IsZero() {
		s.doubted = now
	}
}

// gone tells whether the host has refused its witnesses for so long that it may have
// none.
func (s *had) gone(now time.Time) bool {
	return !s.doubted.IsZero() && now.Sub(s.doubted) >= witnessLife
}

// toAsk returns the mailboxes that have to vouch for a no about an address, none if the host
// of that greeting has said yes a short while ago, or is believed though it refuses them all.
// What it said before it refuses one of them vouches for nothing.
func (t *testimony) toAsk(domain, greeting, refused string, now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	if s == nil || s.gone(now) {
		return nil
	}
	if slices.ContainsFunc(s.addresses, func(a string) bool { return strings.EqualFold(a, refused) }) {
		delete(s.said, greeting)
	}
	if now.Sub(s.said[greeting]) < witnessFresh {
		return nil
	}
	return slices.Clone(s.addresses)
}

// vouch lets the host's witnesses vouch for a no: one that it still has is enough.
// If there is none the answer is unsure.
func (p *Prober) vouch(ctx context.Context, s *session, q question, domain string, m meaning) (meaning, error) {
	asked := p.testimony.toAsk(domain, s.greeting, q.address, time.Now())
	if len(asked) == 0 {
		return m, nil
	}
	refused := true
	for _, address := range asked {
		switch {
		case address == q.address:
			continue // it has just been refused
		case !isASCII(address) && (q.method == VRFY || !s.mailUTF8):
			continue // it cannot be asked about here
		}
		alsoCounts(p.rate)
		r, err := s.ask(ctx, q.method, address)
		if err != nil {
			return m, err
		}
		w := q
		w.address = address
		if w.accepts(r) {
			p.testimony.yes(domain, s.greeting, address, time.Now())
			return m, nil
		}
		said := w.read(r)
		refused = refused && (said.says == policy.No || said.byRCPT) // VRFY never told of it
	}
	if refused {
		p.testimony.doubt(domain, time.Now())
	}
	return meaning{says: policy.Unsure, denied: true, why: fmt.Sprintf("it has none of the mailboxes any more that it had, like %s: its no is not believed until it has somebody", asked[0])}, nil
}
