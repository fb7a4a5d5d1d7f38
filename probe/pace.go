package probe

import (
	"sync"
	"time"
)

// Wear shows itself as a wait: Postfix and Sendmail hold replies back by a second
// or more. A host that is slow by nature is slow on a fresh connection as well.
const (
	heldBack = 700 * time.Millisecond // beyond what is usual for the host
	far      = 5 * time.Millisecond   // a host whose replies take this long is far
)

// pace is how fast a host answers: the replies to the first questions on its
// connections, those that it refused (Exchange holds back each of them) apart
// from others. It may be used concurrently.
type pace struct {
	mu    sync.Mutex
	usual [2]time.Duration // not refused, refused; 0: not known
}

// note takes the time of a reply. first tells whether it was among the first two
// of its connection. It returns whether the reply was held back.
func (p *pace) note(took time.Duration, refused, first bool) (late bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	usual := &p.usual[0]
	if refused {
		usual = &p.usual[1]
	}
	if first {
		if *usual == 0 {
			*usual = took
		} else {
			*usual += (took - *usual) / 8
		}
		return false
	}
	return took > 2**usual+heldBack
}

// isFar tells whether the host is so far away that questions are better put
// together than one by one.
func (p *pace) isFar() bool {
	return p.roundTrip() >= far
}

// roundTrip returns how long the host usually takes for a reply that it does not
// hold back; 0 if it is not known.
func (p *pace) roundTrip() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.usual[0] > 0 {
		return p.usual[0]
	}
	return p.usual[1]
}
