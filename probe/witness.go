package probe

import (
	"context"
	"fmt"
	"log/slog"
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

// testimony is what the hosts behind one name were seen to have, by domain. It may be used
// concurrently.
type testimony struct {
	log   *slog.Logger
	turns *turns // for the connections

	mu      sync.Mutex
	known   map[string]*had
	credits sync.Map // credit by domain, for who looks at it without the lock
}

type had struct {
	addresses []string         // in the form of the dialogue, the latest first
	voices    map[string]voice // of the host of each greeting
	doubted   time.Time        // since when it refuses them all; zero: it does not
	turned    time.Time        // when one of them last began to deny what it had, or had somebody again
}

// voice is what is known of one of the hosts behind a name.
type voice struct {
	said   time.Time // when it last said yes, and has refused no witness since
	denies time.Time // since when it does not vouch for what it denies; zero: it does
	denied time.Time // when it last did not
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
	v, known := s.voices[greeting]
	began := v.denies
	if !known {
		began = s.doubted // of the same host, perhaps, before it was upgraded
	}
	s.doubted = time.Time{}
	delete(s.voices, greeting) // it denies no more
	if !began.IsZero() {
		t.turn(s, greeting, now)
		if s.deniesSince(now).IsZero() {
			t.log.Info("host has mailboxes again that it had: its no is believed", "domain", domain, "has", address, "after", now.Sub(began).Round(time.Millisecond).String())
		}
	}
	t.note(domain, s, greeting, voice{said: now})
}

// turn notes that what a host said before counts no more. The lock is held.
func (t *testimony) turn(s *had, greeting string, now time.Time) {
	s.turned = now
	t.turns.note(greeting, now)
}

// note has what is known of a host, and what follows from it. The lock is held.
func (t *testimony) note(domain string, s *had, greeting string, v voice) {
	if _, known := s.voices[greeting]; !known && len(s.voices) >= mostBehind {
		clear(s.voices)
	}
	s.voices[greeting] = v
	t.credits.Store(domain, s.credit())
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
		s = &had{voices: make(map[string]voice)}
		t.known[domain] = s
	}
	if !slices.Contains(s.addresses, address) {
		s.addresses = append([]string{address}, s.addresses[:min(len(s.addresses), witnesses-1)]...)
	}
	return s
}

// deny notes that the host of that greeting denies one of its witnesses and has none to
// vouch for that; whether it denies them all.
func (t *testimony) deny(domain, greeting string, all bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	if s == nil {
		return
	}
	v := s.voices[greeting]
	if v.denies.IsZero() {
		if s.deniesSince(now).IsZero() {
			t.log.Warn("host denies mailboxes that it had: its no is not believed until it has one again, so it refuses nobody", "domain", domain, "like", s.addresses[0])
		}
		v.denies = now
		t.turn(s, greeting, now)
	}
	if all && s.doubted.IsZero() {
		s.doubted = now
	}
	v.said, v.denied = time.Time{}, now
	t.note(domain, s, greeting, v)
}

// toAsk returns the mailboxes that have to vouch for a no about an address, none if the host
// of that greeting has said yes a short while ago, or is believed though it refuses them all.
// What it said before it refuses one of them vouches for nothing.
func (t *testimony) toAsk(domain, greeting, refused string, now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	if s == nil || isGone(s.doubted, now) {
		return nil
	}
	v := s.voices[greeting]
	if s.has(refused) && !v.said.IsZero() {
		v.said = time.Time{}
		t.note(domain, s, greeting, v)
	}
	if now.Sub(v.said) < witnessFresh {
		return nil
	}
	return slices.Clone(s.addresses)
}

// has tells whether an address is one of the witnesses.
func (s *had) has(address string) bool {
	return slices.ContainsFunc(s.addresses, func(a string) bool { return strings.EqualFold(a, address) })
}

// vouch lets the witnesses of the host of that greeting vouch for a no about an address: one
// that it still has is enough, and if there is none the answer is unsure. ask says what
// the host says of one, Unasked if it cannot be asked.
func (t *testimony) vouch(domain, greeting, refused string, no meaning, ask func(address string) (policy.Says, error)) (meaning, error) {
	asked := t.toAsk(domain, greeting, refused, time.Now())
	if len(asked) == 0 {
		return no, nil
	}
	all, one := true, slices.ContainsFunc(asked, func(a string) bool { return strings.EqualFold(a, refused) })
	for _, address := range asked {
		if address == refused {
			continue
		}
		says, err := ask(address)
		switch {
		case err != nil:
			if one {
				t.deny(domain, greeting, false, time.Now())
			}
			return meaning{says: policy.Unsure}, err
		case says == policy.Yes:
			t.yes(domain, greeting, address, time.Now())
			return no, nil
		}
		all, one = all && says != policy.Unsure, one || says == policy.No
	}
	if all || one {
		t.deny(domain, greeting, all, time.Now())
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
