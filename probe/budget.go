package probe

import (
	"sync"
	"time"
)

// What one connection is used for before it is given up. Each no is an error to
// the host: Postfix answers slower after 10 of them and hangs up after 20,
// Sendmail slows down from the 6th VRFY, Exim ends at the 11th. A host begins
// with what every host known bears; one that shows no wear is asked more over
// the next connection, up to what the most patient bear, and one that does is
// asked less.
const (
	firstVRFYs    = 5  // Sendmail: the 6th takes 1 s
	mostVRFYs     = 90 // Postfix: smtpd_junk_command_limit 100, VRFY counts
	firstRefusals = 8
	mostRefusals  = 9   // Postfix: smtpd_soft_error_limit 10
	mostRCPTs     = 100 // RFC 5321 section 4.5.3.1.8: so many every host takes
	ceilingLife   = time.Hour
	stressLife    = time.Minute // of a ceiling below what every host bears at other times
)

// budget is what a connection to one host may be used for, as far as that was
// learnt. It may be used concurrently.
type budget struct {
	mu       sync.Mutex
	vrfys    allowance
	refusals allowance
}

func newBudget() *budget {
	return &budget{
		vrfys:    allowance{now: firstVRFYs, first: firstVRFYs, most: mostVRFYs},
		refusals: allowance{now: firstRefusals, first: firstRefusals, most: mostRefusals},
	}
}

// allowance is one number that is learnt.
type allowance struct {
	now     int
	first   int
	most    int
	ceiling int // where wear was seen; 0: nowhere
	seen    time.Time
}

// used is what a connection has been used for.
type used struct {
	vrfys    int
	rcpts    int
	refusals int
}

// left returns how many more questions by the method a connection may carry.
func (b *budget) left(method Method, u used) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.refusals.now - u.refusals // each question may be refused
	if method == VRFY {
		return max(min(left, b.vrfys.now-u.vrfys), 0)
	}
	return max(min(left, mostRCPTs-u.rcpts), 0)
}

// lasted notes that a connection has borne all that, without a sign of wear.
func (b *budget) lasted(u used, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.vrfys >= b.vrfys.now {
		b.vrfys.raise(2*b.vrfys.now, now)
	}
	if u.refusals >= b.refusals.now {
		b.refusals.raise(b.refusals.now+1, now)
	}
}

// wore notes that a connection showed wear at its last question: a reply that
// came late, "too many", or none. u counts that question.
func (b *budget) wore(method Method, u used, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if method == VRFY {
		b.vrfys.lower(u.vrfys-1, now)
	}
	if u.refusals > 0 {
		b.refusals.lower(u.refusals-1, now)
	}
}

// raise allows more, but not what has worn a connection of late.
func (a *allowance) raise(to int, now time.Time) {
	life := ceilingLife
	if a.ceiling < a.first {
		life = stressLife
	}
	most := a.most
	if a.ceiling > 0 && now.Sub(a.seen) < life {
		most = min(most, a.ceiling)
	}
	a.now = max(a.now, min(to, most))
}

// lower allows what the worn connection bore before. One sign alone takes away
// half at most: it may have been the network's.
func (a *allowance) lower(to int, now time.Time) {
	a.now = max(min(a.now, max(to, a.now/2)), 1)
	a.ceiling, a.seen = a.now, now
}
