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
	mu    sync.Mutex
	open  int       // connections that there are, or that are on their way
	most  int       // so many the host is known to want; 0: any number
	tried time.Time // when it was last asked for more than those
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
// those beyond what the host is known to want, one at a time. It ends with ended,
// granted or not.
func (g *grants) begin(now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.most > 0 && g.open >= g.most {
		if now.Sub(g.tried) < busyRest {
			return false
		}
		g.tried = now
	}
	g.open++
	return true
}

// granted notes that the host wants what was begun: so the next may be tried.
func (g *grants) granted() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.most > 0 && g.open > g.most {
		g.most, g.tried = g.open, time.Time{}
	}
}

// refused notes that the host wants no such connection beside those that there are,
// and returns how many these are. If there are none it is no matter of their number.
func (g *grants) refused(now time.Time) (others int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	others = g.open - 1
	g.most, g.tried = max(others, 1), now
	return others
}

// ended notes that a connection is no more.
func (g *grants) ended() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
}
