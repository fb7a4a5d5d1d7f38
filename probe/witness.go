package probe

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"postwhere/policy"
)

// A host whose directory is broken, or that is shut for maintenance, may say "user
// unknown" to everybody, in the very words in which it refuses a stranger. So a no
// is believed only from a host that has lately said yes to somebody, or still
// does: the mailboxes that it was seen to have are its witnesses. Of several behind one
// name each has to, or one that is broken would be vouched for by what another says; where
// they cannot be told apart, that shows when a mailbox is there over one connection and not
// over the next, and for a while each connection has to.
const (
	witnesses    = 3
	mostBehind   = 32          // hosts behind one name of which it is known when they said yes
	witnessFresh = time.Minute // a yes over a connection no older than this vouches for a no
	watchTime    = time.Hour   // how long each connection has to have said yes after a host was found to deny what it had
	// witnessLife is how long a host that refuses all of its witnesses is not
	// believed: they may have moved away, and then it is right. It begins when it
	// first does: before, nobody may have written to it for days.
	witnessLife = 4 * time.Hour
)

// testimony is what the hosts behind one name were seen to have, by domain. It may be used
// concurrently.
type testimony struct {
	log     *slog.Logger
	lines   *rate.Limiter              // of the log: a host may have thousands of domains
	turned  atomic.Pointer[time.Time]  // the latest of all domains
	askable func(address string) error // what says that a mailbox cannot be asked about; nil: each can

	mu      sync.Mutex
	known   map[string]*had
	credits sync.Map // credit by domain, for who looks at it without the lock
}

func newTestimony(c *Config) *testimony {
	return &testimony{log: c.Log.With("host", c.Name), lines: rate.NewLimiter(rate.Every(6*time.Second), 10)}
}

type had struct {
	addresses []string         // in the form of the dialogue, the latest first
	voices    map[string]voice // of each speaker.voice
	doubted   time.Time        // since when it refuses them all; zero: it does not
	turned    time.Time        // when one of them last began to deny what it had, or had somebody again
}

// voice is what is known of one of the hosts behind a name.
type voice struct {
	said   time.Time // of when its last yes is; it has refused no witness since
	denies time.Time // since when it does not vouch for what it denies; zero: it does
	denied time.Time // when it last did not
}

// speaker is a host over one connection, which answers from what it knew when that was
// opened. It may be used concurrently.
type speaker struct {
	voice   string // what tells it from others behind its name: its greeting and its address
	born    time.Time
	saidYes sync.Map // the domains of which it was seen to have a mailbox
}

// yes notes that a host has a mailbox.
func (t *testimony) yes(domain string, by *speaker, address string, now time.Time) {
	if !t.isWitness(domain, address) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.witness(domain, address)
	if s == nil || !by.born.After(s.turned) { // it may not have looked since
		return
	}
	by.saidYes.Store(domain, true)
	v, known := s.voices[by.voice]
	began, until := v.denies, by.born.Add(-1) // what others said since is not believed yet
	if isGone(s.doubted, now) {
		until = now
	}
	if !known && !s.doubted.IsZero() { // the same host, perhaps, which was upgraded
		began = s.doubted
		clear(s.voices)
	}
	s.doubted = time.Time{}
	delete(s.voices, by.voice) // it denies no more
	if !began.IsZero() {
		t.turn(s, until)
		if s.deniesSince(now).IsZero() && t.lines.AllowN(now, 1) {
			t.log.Info("host has mailboxes again that it had: its no is believed", "domain", domain, "has", address, "after", now.Sub(began).Round(time.Millisecond).String())
		}
	}
	t.note(domain, s, by.voice, voice{said: by.born})
}

// turn notes that what a host said until then counts no more. The lock is held.
func (t *testimony) turn(s *had, until time.Time) {
	s.turned = until
	if !t.hasTurned(until) {
		t.turned.Store(&until)
	}
}

// hasTurned tells whether a host has begun to deny what it had, or has had somebody again,
// since a connection was opened.
func (t *testimony) hasTurned(born time.Time) bool {
	turned := t.turned.Load()
	return turned != nil && !born.After(*turned)
}

// note has what is known of a host, and what follows from it. The lock is held.
func (t *testimony) note(domain string, s *had, of string, v voice) {
	if _, known := s.voices[of]; !known && len(s.voices) >= mostBehind {
		clear(s.voices)
	}
	s.voices[of] = v
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

// deny notes that a host denies one of its witnesses and has none to vouch for that; whether it
// denies them all.
func (t *testimony) deny(domain string, by *speaker, all bool, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	if s == nil {
		return
	}
	by.saidYes.Delete(domain)
	v := s.voices[by.voice]
	if v.denies.IsZero() {
		if s.deniesSince(now).IsZero() && t.lines.AllowN(now, 1) {
			t.log.Warn("host denies mailboxes that it had: its no is not believed until it has one again, so it refuses nobody", "domain", domain, "like", s.addresses[0])
		}
		v.denies = now
		t.turn(s, now)
	}
	if all && s.doubted.IsZero() {
		s.doubted = now
	}
	v.said, v.denied = time.Time{}, now
	t.note(domain, s, by.voice, v)
}

// toAsk returns the mailboxes that have to vouch for a no about an address, none if the host has
// said yes a short while ago, or is believed though it refuses them all. What it said before it
// refuses one of them vouches for nothing.
func (t *testimony) toAsk(domain string, by *speaker, refused string, now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	if s == nil || isGone(s.doubted, now) {
		return nil
	}
	v := s.voices[by.voice]
	if s.has(refused) && !v.said.IsZero() {
		v.said = time.Time{}
		by.saidYes.Delete(domain)
		t.note(domain, s, by.voice, v)
	}
	_, itself := by.saidYes.Load(domain)
	if watched := now.Sub(s.turned) < watchTime; now.Sub(v.said) < witnessFresh && (itself || !watched) {
		return nil
	}
	return slices.Clone(s.addresses)
}

// latest returns the latest witness of a domain of which the host denies none; "": there is
// none.
func (t *testimony) latest(domain string) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.known[domain]; s != nil && s.deniesSince(time.Now()).IsZero() {
		return s.addresses[0]
	}
	return ""
}

// saw notes that another front end has heard a host say that it has a mailbox, some time ago.
func (t *testimony) saw(domain, address string, at, now time.Time) {
	if !t.isWitness(domain, address) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	switch {
	case s == nil || len(s.addresses) == 0:
		s = t.witness(domain, address)
	case isGone(s.doubted, now) && at.After(s.doubted): // it has somebody again
		s.doubted = time.Time{}
		t.turn(s, now)
		t.witness(domain, address)
	case len(s.addresses) < witnesses && !s.has(address):
		s.addresses = append(s.addresses, address) // its own are better: that one may be old
	}
	if s != nil {
		t.credits.Store(domain, s.credit())
	}
}

// isWitness tells whether a mailbox can be a witness. The postmaster's is none: every host must
// take mail for him (RFC 5321 section 4.5.1), and Exim, as it comes, does so before it looks
// whether there is one. Nor is one that needs SMTPUTF8, which no host can be asked about by VRFY.
func (t *testimony) isWitness(domain, address string) bool {
	return !strings.EqualFold(address, "postmaster@"+domain) && isASCII(address) && (t.askable == nil || t.askable(address) == nil)
}

// has tells whether an address is one of the witnesses.
func (s *had) has(address string) bool {
	return slices.ContainsFunc(s.addresses, func(a string) bool { return strings.EqualFold(a, address) })
}

// vouch lets the witnesses of a host vouch for its no about an address: one that it still has is
// enough, and if there is none the answer is unsure. ask says what the host says of one.
func (t *testimony) vouch(domain string, by *speaker, refused string, no meaning, ask func(address string) (policy.Says, error)) (meaning, error) {
	asked := t.toAsk(domain, by, refused, time.Now())
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
				t.deny(domain, by, false, time.Now())
			}
			return meaning{says: policy.Unsure, denied: one}, err
		case says == policy.Yes:
			t.yes(domain, by, address, time.Now())
			return no, nil
		}
		all, one = all && says == policy.No, one || says == policy.No
	}
	if one {
		t.deny(domain, by, all, time.Now())
	}
	return meaning{says: policy.Unsure, denied: true, why: fmt.Sprintf("it has none of the mailboxes any more that it had, like %s: its no is not believed until it has somebody", asked[0])}, nil
}

// vouch lets the host's witnesses vouch for a no over the connection over which it came.
func (p *Prober) vouch(ctx context.Context, s *session, q question, domain string, no meaning) (meaning, error) {
	return p.testimony.vouch(domain, s.speaker, q.address, no, func(address string) (policy.Says, error) {
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
func (p *MingerProber) vouch(ctx context.Context, by *speaker, domain, refused string, no meaning) (meaning, error) {
	return p.testimony.vouch(domain, by, refused, no, func(address string) (policy.Says, error) {
		alsoCounts(p.rate)
		r, err := p.exchange(ctx, by.voice, address)
		if err != nil {
			return policy.Unsure, err
		}
		return r.read().says, nil
	})
}
