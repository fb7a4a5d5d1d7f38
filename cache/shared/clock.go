package shared

import (
	"context"
	"math"
	"time"
)

// The times in the server are by its clock: front ends whose clocks differ would have
// a mailbox denied before it was learnt of, or learnt of before it was denied.

// reading is what the server's clock said at some time between two of the clock here.
type reading struct {
	server    time.Time
	sent, got time.Time
}

const (
	// readingAge is how often the clock is read: it may be set.
	readingAge = time.Second
	// readingLife is how long a reading is better than one that is less exact: clocks
	// drift apart by less than a millisecond.
	readingLife = 10 * time.Second
)

// here returns a time by the server's clock as one by the clock here: the first and the
// last that it may have been.
func (r reading) here(at time.Time) (first, last time.Time) {
	age := max(r.server.Sub(at), -math.MaxInt64) // of a time to come, as late as it may be
	return r.sent.Add(-age), r.got.Add(-age)
}

// there returns a time by the clock here as one by the server's, the first that it may
// have been. Now has the monotonic clock's reading: the wall clock here may have been
// set since. What is of a time to come is of now.
func (r reading) there(at, now time.Time) time.Time {
	age := max(now.Sub(at), now.Round(0).Sub(at.Round(0)), 0)
	return r.server.Add(now.Sub(r.got) - age)
}

// lastThere is there, and the last that it may have been: a clock here that is set forward
// does not have a denial be over.
func (r reading) lastThere(at, now time.Time) time.Time {
	return r.server.Add(now.Sub(r.got) - max(now.Sub(at), 0))
}

// better returns the better of a reading and a later one: the more exact, unless the
// server's clock was set between.
func (r reading) better(later reading) reading {
	if r.wasSet(later) || later.took() <= r.took() || later.got.Sub(r.got) > readingLife {
		return later
	}
	return r
}

// wasSet tells whether the server's clock was set between a reading and a later one.
func (r reading) wasSet(later reading) bool {
	ahead := later.server.Sub(r.server) - later.got.Sub(r.got)
	return ahead > r.took() || -ahead > later.took()
}

// took returns how far off a reading may be.
func (r reading) took() time.Duration { return r.got.Sub(r.sent) }

// clock returns a reading that is good. Those that follow on one another differ as little
// as they can: else what was learnt after a denial could look as if it was before.
func (l *Link) clock() (reading, error) {
	l.mu.Lock()
	r, at := l.clockRead, l.clockReadAt
	l.mu.Unlock()
	if time.Since(at) < readingAge {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	sent := time.Now()
	server, err := l.patient.Time(ctx).Result()
	if err != nil {
		return reading{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clockReadAt = time.Now()
	l.clockRead = l.clockRead.better(reading{server, sent, l.clockReadAt})
	return l.clockRead, nil
}

// forgetClock has the clock read anew.
func (l *Link) forgetClock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clockRead, l.clockReadAt = reading{}, time.Time{}
}
