package shared

import (
	"errors"
	"slices"
	"sync"
	"time"

	"postwhere/cache"
)

// Bounds of what waits to be told.
const (
	// maxPending is how many mailboxes wait, some 10 MB of names. Beyond it they are
	// looked up in memory, when the server is back.
	maxPending = 100_000
	maxPurges  = 1000
	// recentLife is how long a purge is told again if the server loses it. Who was away for
	// longer asks an owner again anyway, if the refresh is not longer than by default.
	recentLife = time.Hour
)

// pending is what the others are yet to be told of. Of an owner the name is enough,
// since memory knows the rest. Its methods may be called concurrently.
type pending struct {
	mu     sync.Mutex
	owned  map[cache.Name]struct{}
	denied map[cache.Name]time.Time
	purges []purge
	recent []toldPurge // by when they were told
	taken  int         // of owned, that wait for settle
	// lost, if not zero, is since when owners were learnt that are not in owned.
	lost  time.Time
	told  time.Time     // when nothing was waiting
	wake  chan struct{} // has an element when something waits
	ended chan struct{} // closed when nothing comes any more
	once  sync.Once
	heir  *pending // who has what waits, and what comes yet; nil: this one
}

// purge is one that the others are yet to be told of.
type purge struct {
	cache.Purge
	told bool          // to the other front ends, and is yet to be removed from the server
	lost bool          // perhaps, if it was being told
	done chan struct{} // closed when it has its effect everywhere
}

// toldPurge is one that the others may have been told of in vain: they were away, and the
// server has lost it since.
type toldPurge struct {
	cache.Purge
	at time.Time
}

func newPending() *pending {
	return &pending{
		owned: make(map[cache.Name]struct{}), denied: make(map[cache.Name]time.Time),
		told: time.Now(), wake: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}

// handOn returns what waits, as what another link is to tell. What is under way is told
// by both.
func (p *pending) handOn() *pending {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := newPending()
	next.owned, next.denied, next.purges, next.lost, next.told = p.owned, p.denied, p.purges, p.lost, p.told
	for i := range next.purges {
		next.purges[i].told = false // it may be another server
	}
	next.recent, p.recent = p.recent, nil
	p.owned, p.denied, p.purges, p.lost = make(map[cache.Name]struct{}), make(map[cache.Name]time.Time), nil, time.Time{}
	p.heir = next
	next.nudge()
	return next
}

// own notes that a mailbox has an owner.
func (p *pending) own(n cache.Name) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		p.heir.own(n)
		return
	}
	p.owned[n] = struct{}{}
	if len(p.owned) > maxPending {
		clear(p.owned)
		if p.lost.IsZero() {
			p.lost = p.told
		}
	}
	p.nudge()
}

// deny notes that an owner has denied a mailbox.
func (p *pending) deny(n cache.Name, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		p.heir.deny(n, at)
		return
	}
	if len(p.denied) >= maxPending {
		clear(p.denied) // of this front end's doubts they are kept
	}
	p.denied[n] = at
	p.nudge()
}

// deniedAt returns when a mailbox was denied that the others are yet to hear of.
func (p *pending) deniedAt(n cache.Name) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.denied[n]
}

// purge notes a purge. The channel is closed when it has its effect.
func (p *pending) purge(of cache.Purge) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		return p.heir.purge(of)
	}
	if n := len(p.purges); n >= maxPurges {
		if of = (cache.Purge{All: true}); p.purges[n-1].Purge == of { // which costs questions
			return p.purges[n-1].done
		}
	}
	waiting := purge{Purge: of, done: make(chan struct{})}
	p.purges = append(p.purges, waiting)
	p.nudge()
	return waiting.done
}

// nudge wakes who tells. mu is locked.
func (p *pending) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// batch is what is told at once.
type batch struct {
	owned  []cache.Name
	denied map[cache.Name]time.Time
}

func (b batch) len() int { return len(b.owned) + len(b.denied) }

// take returns some of the changes. They wait until settle.
func (p *pending) take(most int) batch {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := batch{denied: make(map[cache.Name]time.Time)}
	for n, at := range p.denied {
		if b.len() == most {
			break
		}
		b.denied[n] = at
	}
	for n := range p.owned {
		if b.len() == most {
			break
		}
		if _, too := p.denied[n]; !too { // first that he was denied, then who has him since
			b.owned = append(b.owned, n)
			delete(p.owned, n) // what is learnt meanwhile is noted again
		}
	}
	p.taken = len(b.owned)
	if b.len() == 0 && p.lost.IsZero() && len(p.purges) == 0 {
		p.told = time.Now()
	}
	return b
}

// settle notes that a batch is told; or not, and it waits on. Denials wait for no purge.
func (p *pending) settle(b batch, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = 0
	if err != nil {
		for _, n := range b.owned {
			if p.heir != nil {
				p.heir.own(n)
			} else {
				p.owned[n] = struct{}{}
			}
		}
	}
	if err != nil && !errors.Is(err, errBehind) {
		return
	}
	for n, at := range b.denied {
		if p.denied[n].Equal(at) {
			delete(p.denied, n)
		}
	}
}

// takeLost returns since when owners were learnt that only memory knows, if so.
func (p *pending) takeLost() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.lost
	p.lost = time.Time{}
	return since
}

// giveBackLost is for who could not tell of them.
func (p *pending) giveBackLost(since time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		p.heir.giveBackLost(since)
		return
	}
	p.lost = since
	p.nudge()
}

// firstPurge returns the purge that has waited for the longest.
func (p *pending) firstPurge() (of purge, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.purges) == 0 {
		return purge{}, false
	}
	return p.purges[0], true
}

// purgeTold notes that the others know of the first purge, unless it is handed on: to
// tell them again would have them forget what they have learnt since. It returns false if
// that has to be, because the server may have lost it.
func (p *pending) purgeTold() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir != nil {
		return true
	}
	if p.purges[0].lost {
		p.purges[0].lost = false
		return false
	}
	p.purges[0].told = true
	now := time.Now()
	old := 0
	for old < len(p.recent) && (len(p.recent)-old >= maxPurges || now.Sub(p.recent[old].at) > recentLife) {
		old++
	}
	p.recent = append(slices.Delete(p.recent, 0, old), toldPurge{p.purges[0].Purge, now})
	return true
}

// tellAgain has the others told once more of what was purged of late.
func (p *pending) tellAgain() {
	p.mu.Lock()
	recent := p.recent
	p.recent = nil
	if len(p.purges) > 0 && !p.purges[0].told {
		p.purges[0].lost = true
	}
	p.mu.Unlock()
	for _, of := range recent {
		if time.Since(of.at) < recentLife {
			p.purge(of.Purge)
		}
	}
}

// purged notes that the first purge has its effect, unless it is handed on.
func (p *pending) purged() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir == nil {
		close(p.purges[0].done)
		p.purges = slices.Delete(p.purges, 0, 1)
	}
}

// purgesLeft returns the purges that have not had their effect.
func (p *pending) purgesLeft() []cache.Purge {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []cache.Purge
	for _, of := range p.purges {
		left = append(left, of.Purge)
	}
	return left
}

// len returns how many changes wait.
func (p *pending) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.purges) + len(p.denied) + p.taken
	for name := range p.owned {
		if _, too := p.denied[name]; !too {
			n++
		}
	}
	return n
}

// close notes that nothing comes any more.
func (p *pending) close() { p.once.Do(func() { close(p.ended) }) }

// isPurging tells whether a purge has yet to have its effect in the server.
func (p *pending) isPurging() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.purges) > 0
}
