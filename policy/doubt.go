package policy

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// DoubtTime is how long a mailbox that was known, and that its host denies now,
	// is not refused: it may be on its way to another host, and a directory that is
	// empty for a moment must not undo what was known for days.
	DoubtTime = 10 * time.Minute
	maxDoubts = 100000 // mailboxes; beyond them those that are over are dropped, or else all are in doubt
	// freshFor is how old a rejection may be on which a message would be bounced.
	// Answers are as old as the connections that they came over.
	freshFor = 90 * time.Second
)

// Doubts returns the searcher's doubts, which another Searcher may share.
func (s *Searcher) Doubts() *Doubts { return s.doubts }

// Doubt has a mailbox not refused for a while, since another front end was told
// at that time that it is no more.
func (s *Searcher) Doubt(a Address, since time.Time) { s.doubts.addSince(a, since) }

// Doubts are the mailboxes that were known until a moment ago, by Address.Key. They
// are not refused yet. Searchers share them that follow on one another: the one that
// ends may still hear a mailbox denied which the next one would refuse. The zero
// value is ready; it may be used concurrently.
type Doubts struct {
	mu    sync.Mutex
	since map[string]time.Time
	// everybody is since when all mailboxes are in doubt: there were too many to
	// know them apart.
	everybody time.Time
	// awaited are those of Await whose time has not come.
	awaited      int
	awaitedSince time.Time
	// over is when all will be, as far as is known by now; nil: there were none.
	over atomic.Pointer[time.Time]
}

// Await has all mailboxes in doubt until done is called, or for DoubtTime: which are is
// yet to be found out, since a file is slow.
func (d *Doubts) Await() (done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.awaited++
	d.awaitedSince = time.Now()
	d.lasts(d.awaitedSince)
	return sync.OnceFunc(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.awaited--
	})
}

// everybodyKey stands for all mailboxes among those that All returns.
const everybodyKey = "*"

// add notes a mailbox that its owner denies.
func (d *Doubts) add(a Address) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(a, time.Now())
}

// addSince notes a mailbox that was denied to another front end, or was known to
// it, at a time by its clock: if that is yet to come, now.
func (d *Doubts) addSince(a Address, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	since = now.Add(-max(now.Sub(since), 0))
	if now.Sub(since) < DoubtTime && since.After(d.since[a.Key()]) {
		d.put(a, since)
	}
}

// last returns since when a mailbox is in doubt, zero if it is not.
func (d *Doubts) last(a Address) time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	if since := d.since[a.Key()]; since.After(d.everybody) {
		return since
	}
	return d.everybody
}

// put notes since when a mailbox is in doubt. mu is locked.
func (d *Doubts) put(a Address, since time.Time) {
	now := time.Now()
	if len(d.since) >= maxDoubts {
		for key, since := range d.since {
			if now.Sub(since) >= DoubtTime {
				delete(d.since, key)
			}
		}
		if len(d.since) >= maxDoubts {
			clear(d.since)
			d.everybody = now
		}
	}
	if d.since == nil {
		d.since = make(map[string]time.Time)
	}
	d.since[a.Key()] = since
	d.lasts(now)
}

// lasts notes that a doubt may be as young as now. mu is locked.
func (d *Doubts) lasts(now time.Time) {
	over := now.Add(DoubtTime)
	d.over.Store(&over)
}

// has tells whether a mailbox of that address was known until a moment ago. The caller has
// read now before, which may only be too early.
func (d *Doubts) has(a Address, now time.Time) bool {
	if over := d.over.Load(); over == nil || now.After(*over) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.everybody.IsZero() && time.Since(d.everybody) < DoubtTime || d.awaited > 0 && time.Since(d.awaitedSince) < DoubtTime {
		return true
	}
	if len(d.since) == 0 {
		return false
	}
	var room [keyRoom]byte
	since, ok := d.since[string(a.appendKey(room[:0]))]
	if !ok {
		return false
	}
	if time.Since(since) < DoubtTime {
		return true
	}
	delete(d.since, a.Key())
	return false
}

// All returns since when each mailbox is in doubt, for Restore.
func (d *Doubts) All() map[string]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]time.Time)
	for key, since := range d.since {
		if time.Since(since) < DoubtTime {
			all[key] = since.Round(0)
		}
	}
	if time.Since(d.everybody) < DoubtTime {
		all[everybodyKey] = d.everybody.Round(0)
	}
	return all
}

// Restore notes those that All has returned before a restart. If the clock was set back
// since, a doubt begins anew.
func (d *Doubts) Restore(all map[string]time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for key, since := range all {
		age := now.Sub(since)
		since = now.Add(-max(age, 0))
		switch {
		case age >= DoubtTime:
		case key == everybodyKey, len(d.since) >= maxDoubts:
			d.everybody = later(d.everybody, since)
		default:
			if d.since == nil {
				d.since = make(map[string]time.Time)
			}
			d.since[key] = later(d.since[key], since)
		}
	}
	d.lasts(now)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// RestoreDoubts returns doubts that know no others than those.
func RestoreDoubts(all map[string]time.Time) *Doubts {
	d := &Doubts{}
	d.Restore(all)
	return d
}
