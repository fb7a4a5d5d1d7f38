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

// vouch lets the witnesses of the host of that greeting vouch for a no about an address: one
// that it still has is enough, and if there is none the answer is unsure. ask says what
// the host says of one, Unasked if it cannot be asked.
func (t *testimony) vouch(domain, greeting, refused string, no meaning, ask func(address string) (policy.Says, error)) (meaning, error) {
	asked := t.toAsk(domain, greeting, refused, time.Now())
	if len(asked) == 0 {
		return no, nil
	}
	denied := true
	for _, address := range asked {
		if address == refused {
			continue
		}
		says, err := ask(address)
		switch {
		case err != nil:
			return meaning{says: policy.Unsure}, err
		case says == policy.Yes:
			t.yes(domain, greeting, address, time.Now())
			return no, nil
		}
		denied = denied && says != policy.Unsure
	}
	if denied {
		t.doubt(domain, time.Now())
	}
	return meaning{says: policy.Unsure, denied: true, why: fmt.Sprintf("it has none of the mailboxes any more that it had, like %s: its no is not believed until it has somebody", asked[0])}, nil
}

// vouch lets the host's witnesses vouch for a no over the connection over which it came.
func (p *Prober) vouch(ctx context.Context, s *session, q question, domain string, no meaning) (meaning, error) {
	return p.testimony.vouch(domain, s.greeting, q.address, no, func(address string) (policy.Says, error) {
		if !isASCII(address) && (q.method == VRFY || !s.mailUTF8) {
			return policy.Unasked, nil
		}
		alsoCounts(p.rate)
		r, err := s.ask(ctx, q.method, address)
		if err != nil {
			return policy.Unsure, err
		}
		w := q
		w.address = address
		said := w.read(r)
		switch {
		case w.accepts(r):
			return policy.Yes, nil
		case said.byRCPT: // VRFY never told of it
			return policy.No, nil
		case said.says == policy.Yes: // by half
			return policy.Unsure, nil
		}
		return said.says, nil
	})
}

// vouch lets the host's witnesses vouch for a no.
func (p *MingerProber) vouch(ctx context.Context, remote, domain, refused string, no meaning) (meaning, error) {
	return p.testimony.vouch(domain, remote, refused, no, func(address string) (policy.Says, error) {
		alsoCounts(p.rate)
		r, err := p.exchange(ctx, remote, address)
		if err != nil {
			return policy.Unsure, err
		}
		return r.read().says, nil
	})
}
