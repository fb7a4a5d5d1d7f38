package shared

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Position is how far a front end has read the streams: the numbers of entries, which
// begin with the server's time in milliseconds. It can be kept as JSON.
type Position struct{ Purges, Denials string }

// since is how long before its start a front end reads on that has not been there: the
// server's clock may be behind.
const since = time.Minute

var entryNumber = regexp.MustCompile(`^\d{1,19}-\d{1,19}$`)

// orNow returns the position, and where it is none that of now.
func (p Position) orNow() Position {
	now := fmt.Sprintf("%d-0", time.Now().Add(-since).UnixMilli())
	if !entryNumber.MatchString(p.Purges) {
		p.Purges = now
	}
	if !entryNumber.MatchString(p.Denials) {
		p.Denials = now
	}
	return p
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

// move sets the position, and wakes who waits for it.
func (l *Link) move(to Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.position = to
	close(l.moved)
	l.moved = make(chan struct{})
}
