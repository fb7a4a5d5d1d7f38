package policy

import (
	"sync"
	"time"
)

const (
	// DoubtTime is how long a mailbox that was known, and that its host denies now,
	// is not refused: it may be on its way to another host, and a directory that is
	// empty for a moment must not undo what was known for days.
	DoubtTime = 10 * time.Minute
	maxDoubts = 100000 // mailboxes; beyond them those that are over are dropped, or else all
	// freshFor is how old a rejection may be on which a message would be bounced.
	// Answers are as old as the connections that they came over.
	freshFor = 90 * time.Second
)

// Doubts returns the mailboxes, by Address.Key, that were known until a moment ago,
// and since when they are denied: they are not refused yet, also by the next Searcher
// if it has them in its Options.
func (s *Searcher) Doubts() map[string]time.Time { return s.doubts.all() }

// Doubt has a mailbox not refused for a while, since another front end was told
// at that time that it is no more.
func (s *Searcher) Doubt(a Address, since time.Time) { s.doubts.addSince(a, since) }

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
	d.put(a, time.Now())
}

// addSince notes a mailbox that was denied to another front end, or was known to
// it, at a time by its clock: if that is yet to come, now.
func (d *doubts) addSince(a Address, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	since = now.Add(-max(now.Sub(since), 0))
	if now.Sub(since) < DoubtTime && since.After(d.since[a.Key()]) {
		d.put(a, since)
	}
}

// last returns since when a mailbox is in doubt, zero if it is not.
func (d *doubts) last(a Address) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since[a.Key()]
}

// put notes since when a mailbox is in doubt. mu is locked.
func (d *doubts) put(a Address, since time.Time) {
	now := time.Now()
	if len(d.since) >= maxDoubts {
		for key, since := range d.since {
			if now.Sub(since) >= DoubtTime {
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
	d.since[a.Key()] = since
}

// has tells whether a mailbox of that address was known until a moment ago.
func (d *doubts) has(a Address) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	since, ok := d.since[a.Key()]
	if !ok {
		return false
	}
	if time.Since(since) < DoubtTime {
		return true
	}
	delete(d.since, a.Key())
	return false
}

// all returns since when each mailbox is in doubt.
func (d *doubts) all() map[string]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]time.Time)
	for key, since := range d.since {
		if time.Since(since) < DoubtTime {
			all[key] = since.Round(0)
		}
	}
	return all
}

// restore takes over what all has returned, before a restart say. If the clock was
// set back since, a doubt begins anew.
func (d *doubts) restore(all map[string]time.Time) {
	now := time.Now()
	d.since = make(map[string]time.Time)
	for key, since := range all {
		if age := now.Sub(since); age < DoubtTime && len(d.since) < maxDoubts {
			d.since[key] = now.Add(-max(age, 0))
		}
	}
}
