package shared

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postwhere/cache"
)

// Position is how far a front end has read the streams: the numbers of entries, which
// begin with the server's time in milliseconds. It can be kept as JSON.
type Position struct{ Purges, Denials string }

// Past is what a link has to know of the time before it. It can be kept as JSON.
type Past struct {
	Position
	// Untold are the purges that the other front ends are yet to be told of.
	Untold []cache.Purge
}

// since is how long before its start a front end reads on that has not been there, or
// before it was away one that finds another stream: the server's clock may be behind.
const since = time.Minute

var entryNumber = regexp.MustCompile(`^\d{1,19}-\d{1,19}$`)

// orNow returns the position, and where it is none that of now.
func (p Position) orNow() Position {
	now := numberAt(time.Now().Add(-since))
	if !entryNumber.MatchString(p.Purges) {
		p.Purges = now
	}
	if !entryNumber.MatchString(p.Denials) {
		p.Denials = now
	}
	return p
}

// numberAt returns the number of an entry that is made at a time.
func numberAt(t time.Time) string { return fmt.Sprintf("%d-0", max(t.UnixMilli(), 0)) }

// earlier returns the lower of two numbers.
func earlier(a, b string) string {
	if isBefore(a, b) {
		return a
	}
	return b
}

// isBefore tells whether an entry of number a is before one of number b.
func isBefore(a, b string) bool {
	ms := func(number string) (uint64, uint64) {
		first, second, _ := strings.Cut(number, "-")
		m, _ := strconv.ParseUint(first, 10, 64)
		n, _ := strconv.ParseUint(second, 10, 64)
		return m, n
	}
	a1, a2 := ms(a)
	b1, b2 := ms(b)
	return a1 < b1 || a1 == b1 && a2 < b2
}

// Position returns how far the streams are read. All that was purged until there is
// purged from the cache.
func (l *Link) Position() Position {
	if l == nil {
		return Position{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// lastRun returns which run of which server was read last.
func (l *Link) lastRun() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.run
}

// earlier returns the lower of two positions. One that is none is not counted.
func (p Position) earlier(other Position) Position {
	of := func(a, b string) string {
		switch {
		case !entryNumber.MatchString(b):
			return a
		case !entryNumber.MatchString(a):
			return b
		}
		return earlier(a, b)
	}
	return Position{of(p.Purges, other.Purges), of(p.Denials, other.Denials)}
}

// And returns the past of two caches that are one now.
func (p Past) And(other Past) Past {
	return Past{p.Position.earlier(other.Position), slices.Concat(p.Untold, other.Untold)}
}

// Past returns what is to be kept for the next link.
func (l *Link) Past() Past {
	if l == nil {
		return Past{}
	}
	return Past{l.Position(), l.pending.purgesLeft()}
}

// Recollect has the link know what has come too late for Start: the streams are read
// once more from there, if that is further back, and the purges are told.
func (l *Link) Recollect(of Past) {
	if l == nil {
		return
	}
	l.mu.Lock()
	if to := l.position.earlier(of.Position); to != l.position {
		l.position, l.mark = to, to.Purges // there may be a gap behind it
	}
	l.recalls = true
	l.mu.Unlock()
	l.putOff(of.Untold)
}

// putOff has purges of the past told when there is time.
func (l *Link) putOff(purges []cache.Purge) {
	for _, p := range purges {
		if p != (cache.Purge{}) { // which is none
			l.pending.purge(p)
		}
	}
}

// whence returns from where the streams are read on now, and the mark.
func (l *Link) whence() (from Position, mark string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.recalls = false
	return l.position, l.mark
}

// wantMark has the position be the mark where there is none: the server could not be read, and
// what was purged meanwhile may be lost.
func (l *Link) wantMark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mark = cmp.Or(l.mark, l.position.Purges)
}

// move notes that the streams are read so far, and the next mark, and wakes who waits for it;
// unless a past has come since whence said from where: what came with it has not heard what was
// read.
func (l *Link) move(to Position, mark string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recalls {
		return
	}
	l.read, l.mark = time.Now(), mark
	if l.position == to {
		return
	}
	l.position = to
	close(l.moved)
	l.moved = make(chan struct{})
}
