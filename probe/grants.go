package probe

import (
	"sync"
	"time"
)

// grants are the connections that a host has with us, and how many it wants. To the
// host one that we have left is a connection until it has hung up, whether or not
// its place in the pool is free, so they are counted here. The zero value is a host
// that was not refused anything yet; it may be used concurrently.
type grants struct {
	mu     sync.Mutex
	open   int       // connections that there are, or that are on their way
	coming int       // those on their way
	begun  int       // those that ever were
	most   int       // so many the host is known to want; 0: any number
	tried  time.Time // when it was last asked for more than those
}

const (
	// busyRest is how long a host that wanted no more connections is not asked for
	// more.
	busyRest = time.Second
	// busyPause is how often who needs one looks whether one of the others is free.
	busyPause = 20 * time.Millisecond
)

// full tells whether the host has as many connections as it wants, as far as is
// known.
func (g *grants) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.most > 0 && g.open >= g.most
}

// begin counts a connection that is to be opened, and tells whether it may be: of
// those beyond what the host is known to want, one at a time. It ends with granted
// or failed. alone is for refused.
func (g *grants) begin(now time.Time) (alone int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.most > 0 && g.open >= g.most {
		if g.coming > 0 || now.Sub(g.tried) < busyRest {
			return 0, false
		}
		g.tried = now
	}
	g.open++
	g.coming++
	g.begun++
	if g.open == 1 {
		alone = g.begun
	}
	return alone, true
}

// granted notes that the host wants what was begun: so the next may be tried. It
// ends with ended.
func (g *grants) granted() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coming--
	if g.most > 0 && g.open > g.most {
		g.most, g.tried = g.open, time.Time{}
	}
}

// refused notes that the host wants no such connection beside those that there are.
// It tells whether there were none while it was on its way: then it is no matter of
// their number. Two may have been refused because of one another.
func (g *grants) refused(alone int, now time.Time) (none bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most, g.tried = max(g.open-1, 1), now
	return alone == g.begun
}

// failed notes that what was begun has come to nothing, refused or not.
func (g *grants) failed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.coming--
	g.open--
}

// ended notes that a connection is no more.
func (g *grants) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
}
