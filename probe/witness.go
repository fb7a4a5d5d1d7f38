package probe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"postwhere/policy"
)

// A host whose directory is broken, or that is shut for maintenance, may say "user
// unknown" to everybody, in the very words in which it refuses a stranger. So a no
// is believed only from a host that has lately said yes to somebody, or still
// does: the mailboxes that it was seen to have are its witnesses.
const (
	witnesses    = 3
	witnessFresh = 5 * time.Minute // a yes so long ago vouches for a no
	// witnessLife is how long a host that refuses all of its witnesses is not
	// believed: they may have moved away, and then it is right.
	witnessLife = 4 * time.Hour
)

// testimony is what one host was seen to have, by domain. The zero value is ready;
// it may be used concurrently.
type testimony struct {
	mu    sync.Mutex
	known map[string]*had
}

type had struct {
	addresses []string  // in the form of the dialogue, the latest first
	at        time.Time // of the last yes
}

// yes notes that the host has a mailbox.
func (t *testimony) yes(domain, address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.known == nil {
		t.known = make(map[string]*had)
	}
	s := t.known[domain]
	if s == nil {
		if len(t.known) >= maxCalibrations {
			return
		}
		s = &had{}
		t.known[domain] = s
	}
	s.at = now
	if slices.Contains(s.addresses, address) {
		return
	}
	s.addresses = append([]string{address}, s.addresses[:min(len(s.addresses), witnesses-1)]...)
}

// toAsk returns the mailboxes that have to vouch for a no, none if the host has
// said yes a short while ago, or has not for so long that it may have none.
func (t *testimony) toAsk(domain string, now time.Time) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.known[domain]
	if s == nil || now.Sub(s.at) < witnessFresh || now.Sub(s.at) > witnessLife {
		return nil
	}
	return slices.Clone(s.addresses)
}

// vouch lets the host's witnesses vouch for a no: one that it still has is enough.
// If it refuses them all the answer is unsure.
func (p *Prober) vouch(ctx context.Context, s *session, q question, domain string, m meaning) (meaning, error) {
	asked := p.testimony.toAsk(domain, time.Now())
	for _, address := range asked {
		p.alsoCounts()
		r, err := s.ask(ctx, q.method, address)
		if err != nil {
			return m, err
		}
		w := q
		w.address = address
		if w.accepts(r) {
			p.testimony.yes(domain, address, time.Now())
			return m, nil
		}
	}
	if len(asked) > 0 {
		m = meaning{says: policy.Unsure, why: fmt.Sprintf("it refuses %s too, which it had: its no is not believed until it has somebody", asked[0])}
	}
	return m, nil
}
