package probe

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// Every connection carries questions about a domain of which nothing is refused, a hundred
// each. Others do not wait for their end.
func TestAPipeIsLeftToWhomItCannotServe(t *testing.T) {
	for name, other := range map[string]func(p *Prober){
		"a domain that is not known yet": func(*Prober) {},
		"one that is asked one by one":   func(p *Prober) { p.crowd.sendAway("e.test") },
	} {
		for _, connections := range []int{1, 4} {
			t.Run(name, func(t *testing.T) {
				inCrowd(t, func(t *testing.T, h *distantHost, p *Prober) {
					other(p)
					var asking sync.WaitGroup
					asking.Go(func() { annas(t, p, 2*roundTrip/5/time.Duration(connections), 200*roundTrip) })
					time.Sleep(50 * roundTrip)
					for range 3 {
						begun := time.Now()
						wantSays(t, p, "anna@e.test", policy.Yes)
						took := time.Since(begun)
						t.Logf("after %s", took)
						if took > 15*roundTrip {
							t.Errorf("after %s", took)
						}
					}
					asking.Wait()
					t.Logf("%d connections", h.sessions.Load())
				}, func(c *Config) { c.Connections = connections })
			})
		}
	}
}

// While another connection does not come about, the line is served by the one over which
// somebody has asked one by one.
func TestALineDoesNotWaitForAConnectionWhereOneIsIdle(t *testing.T) {
	var stuck atomic.Bool
	inCrowd(t, func(t *testing.T, _ *distantHost, p *Prober) {
		wantSays(t, p, "nobody@e.test", policy.No)
		p.crowd.sendAway("e.test")
		time.Sleep(10 * roundTrip) // for those that are opened ahead
		stuck.Store(true)
		for i, held := range p.pool.AcquireAllIdle() {
			if i == 0 {
				held.ReleaseUnused()
			} else {
				held.Destroy()
			}
		}
		var asking sync.WaitGroup
		asking.Go(func() { wantSays(t, p, "anna@e.test", policy.Yes) })
		time.Sleep(roundTrip / 10)
		begun := time.Now()
		wantSays(t, p, "anna@d.test", policy.Yes)
		if took := time.Since(begun); took > 4*roundTrip {
			t.Errorf("after %s", took)
		}
		asking.Wait()
	}, func(c *Config) { c.Connections = 3 }, stuckWhile(&stuck))
}

// stuckWhile has connections take their time to come about.
func stuckWhile(stuck *atomic.Bool) func(*Config) {
	return func(c *Config) {
		dial := c.dial
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if stuck.Load() {
				time.Sleep(20 * time.Second)
			}
			return dial(ctx, network, address)
		}
	}
}

// A connection of which nothing is left when its questions are written says QUIT with them,
// also if the last one came while the others waited for it: the next one is opened a round
// trip sooner.
func TestQuitGoesWithAQuestionThatOthersWaitedFor(t *testing.T) {
	inCrowd(t, func(t *testing.T, _ *distantHost, p *Prober) {
		var asking sync.WaitGroup
		stranger := func(i int) {
			asking.Go(func() { wantSays(t, p, fmt.Sprintf("stranger%d@d.test", i), policy.No) })
		}
		// Of the first connection six are left, and three tell that all are strangers.
		for i := range 6 + 9 + 9 + 8 {
			stranger(i)
		}
		gathers := func() bool {
			p.crowd.mu.Lock()
			defer p.crowd.mu.Unlock()
			return len(p.crowd.line) == 0 && len(p.crowd.open) == 1 && p.crowd.open[0].put == 0 && len(p.crowd.open[0].left) == 8
		}
		for range 1000 {
			if gathers() {
				break
			}
			time.Sleep(roundTrip / 100)
		}
		if !gathers() {
			t.Fatal("no connection has eight questions and waits for another")
		}
		stranger(32)
		time.Sleep(roundTrip / 2)
		if n := p.leaving.Load(); n != 1 {
			t.Errorf("%d connections are being left, want 1", n)
		}
		asking.Wait()
	})
}
