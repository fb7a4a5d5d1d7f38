package policy

import (
	"sync"
	"time"
)

const (
	// doubtTime is how long a mailbox that was known, and that its host denies now,
	// is not refused: it may be on its way to another host, and a directory that is
	// empty for a moment must not undo what was known for days.
	doubtTime = 10 * time.Minute
	maxDoubts = 100000 // mailboxes; beyond them those that are over are dropped, or else all
	// freshFor is how old a rejection may be on which a message would be bounced.
	// Answers are as old as the connections that they came over.
	freshFor = 90 * time.Second
)

// doubts are the mailboxes that were known until a moment ago, by Key. The zero
// value is ready; it may be used concurrently.
type doubts struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// add notes a mailbox that its owner denies.
func (d *doubts) add(a Address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	if len(d.since) >= maxDoubts {
		for key, since := range d.since {
			if now.Sub(since) >= doubtTime {
				delete(d.since, key)
			}
		}
		if len(d.since) >= maxDoubts {
			clear(d.since)
		}
	}
	if d.since == nil {
		d.since = make(map[string]time.Time)
	}
	d.since[a.Key()] = now
}

// has tells whether a mailbox of that address was known until a moment ago.
func (d *doubts) has(a Address) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, ok := d.since[a.Key()]
	if !ok {
		return false
	}
	if time.Since(since) < doubtTime {
		return true
	}
	delete(d.since, a.Key())
	return false
}
