package probe

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// grantingHost is a crowdHost that grants as many connections at once as granted
// says, and takes a while to let go of one after QUIT. refused counts what it would
// not have.
func grantingHost(granted, refused *atomic.Int32, lingers time.Duration) *fakeHost {
	var h *fakeHost
	h = crowdHost(func(_ *dialogue, verb, _, said string) string {
		switch {
		case verb == "GREETING" && h.openNow() > int(granted.Load()):
			refused.Add(1)
			return "421 4.7.0 too many connections" + drop
		case verb == "QUIT":
			time.Sleep(lingers)
		}
		return said
	})
	return h
}

// closeAndWait closes a prober, and gives its host the time to notice.
func closeAndWait(p *Prober) {
	p.Close()
	time.Sleep(2 * time.Second)
}

// Not one connection is granted: that is no matter of their number, and nobody
// waits for the host.
func TestAHostThatGrantsNothingIsDown(t *testing.T) {
	for _, connections := range []int{1, 2, 5, 20} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var granted, refused atomic.Int32
				h := grantingHost(&granted, &refused, 0)
				p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, connections })
				begun := time.Now()
				wantEach(t, askAtOnce(t, p, "anna%d@d.test", 200), policy.Unsure)
				if took := time.Since(begun); took > 5*time.Second {
					t.Errorf("it took %s", took)
				}
				if n := int(refused.Load()); n > 2*connections+10 {
					t.Errorf("%d connections to a host that wants none", n)
				}
				granted.Store(3)
				time.Sleep(2 * lastTry)
				wantEach(t, askAtOnce(t, p, "anna%d@d.test", 20), policy.Yes)
				closeAndWait(p)
			})
		})
	}
}

// One connection is granted, and the next only a while after that one was given up:
// all questions are answered over those, the host is never taken to be down and is
// tried for more about once a second.
func TestAHostThatGrantsOneAtATime(t *testing.T) {
	for _, lingers := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
		t.Run(lingers.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var granted, refused atomic.Int32
				granted.Store(1)
				h := grantingHost(&granted, &refused, lingers)
				p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 20 })
				begun := time.Now()
				wantSays(t, p, "nobody@d.test", policy.No)
				for range 10 {
					wantEach(t, askAtOnce(t, p, "anna%d@d.test", 40), policy.Yes)
					wantEach(t, askAtOnce(t, p, "stranger%d@d.test", 20), policy.No)
				}
				took := time.Since(begun)
				if err := p.health.err(); err != nil {
					t.Error(err)
				}
				closeAndWait(p)
				t.Logf("%d refused of %d in %s", refused.Load(), h.connections(), took)
				if most := 20 + int(took/busyRest); int(refused.Load()) > most {
					t.Errorf("%d connections more than the host wants in %s, want %d at most", refused.Load(), took, most)
				}
			})
		})
	}
}

// What a host grants changes. No mailbox is denied, and once it grants some again
// they are used.
func TestWhatAHostGrantsChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var granted, refused atomic.Int32
		granted.Store(1)
		h := grantingHost(&granted, &refused, 10*time.Millisecond)
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 10 })
		wantSays(t, p, "nobody@d.test", policy.No)
		for round, n := range []int32{1, 0, 2, 0, 0, 10, 1, 3} {
			granted.Store(n)
			if n == 0 {
				h.cut()
			} else {
				time.Sleep(2 * lastTry) // it is found to be up again
			}
			for _, got := range askAtOnce(t, p, "anna%d@d.test", 60) {
				if got.Says == policy.No || got.Says != policy.Yes && n > 0 {
					t.Errorf("round %d: %s %s", round, got.Says, got.Why)
				}
			}
		}
		closeAndWait(p)
	})
}

// Who waits for a connection that the host does not grant waits no longer than his
// context, and Close waits for nobody but the one whose question is under way.
func TestWhoWaitsForAGrantIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs atomic.Bool
		h := crowdHost(func(d *dialogue, verb, arg, said string) string {
			switch {
			case verb == "GREETING" && d.n > 1:
				return "421 4.7.0 too many connections" + drop
			case verb == "RCPT" && hangs.Load():
				return mute
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 5, 20*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		hangs.Store(true)
		var asking sync.WaitGroup
		for i := range 50 {
			asking.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				begun := time.Now()
				got := p.Ask(ctx, address(t, fmt.Sprintf("anna%d@d.test", i)))
				if took := time.Since(begun); got.Says != policy.Unsure || took > 3*time.Second+50*time.Millisecond {
					t.Errorf("%s %s after %s", got.Says, got.Why, took)
				}
			})
		}
		time.Sleep(time.Second)
		begun := time.Now()
		p.Close()
		if took := time.Since(begun); took > 20*time.Second+quitTime {
			t.Errorf("Close took %s", took)
		}
		asking.Wait()
		closeAndWait(p)
	})
}

// A host that talks on and on after the end keeps nobody, neither beyond his time
// nor much beyond his answer.
func TestAHostThatTalksForEverKeepsNobody(t *testing.T) {
	for _, said := range []string{"nonsense", "450 4.7.1 greylisted", "421 4.3.2 closing"} {
		t.Run(said, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newPipeHost(func(d *dialogue, verb, arg string) string {
					switch {
					case verb == "RCPT" && strings.Contains(arg, "drip"):
						d.say(said)
						for d.say("and another thing") {
							time.Sleep(100 * time.Millisecond)
						}
						return drop
					case verb == "RCPT":
						return has(false)(d, verb, arg)
					}
					return ""
				})
				p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 3 })
				for range 3 {
					wantSays(t, p, "nobody@d.test", policy.No)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				got := p.Ask(ctx, address(t, "drip@d.test"))
				if took := time.Since(begun); got.Says != policy.Unsure || took > time.Second+100*time.Millisecond {
					t.Errorf("%s %s after %s", got.Says, got.Why, took)
				}
				begun = time.Now()
				p.Close()
				if took := time.Since(begun); took > 2*quitTime {
					t.Errorf("Close took %s", took)
				}
				closeAndWait(p)
			})
		})
	}
}

// A host that is far away and takes its time for a farewell sees half as many
// connections again as configured, and no more, though the places are free at once.
func TestLongFarewellsAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var granted, refused atomic.Int32
		granted.Store(1000)
		h := grantingHost(&granted, &refused, 1900*time.Millisecond)
		const connections = 6
		p := ofHost(t, h, func(c *Config) { c.Connections = connections })
		wantSays(t, p, "nobody@d.test", policy.No)
		for range 5 {
			wantEach(t, askAtOnce(t, p, "stranger%d@d.test", 100), policy.No)
		}
		closeAndWait(p)
		if most := h.most(); most > connections+connections/2 {
			t.Errorf("%d connections at once", most)
		}
	})
}

// A used connection is renewed for a question, and the host does not let go of the
// old one: who asks waits no longer than his context.
func TestAFarewellKeepsNobodyBeyondHisTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHost(func(d *dialogue, verb, arg string) string {
			switch {
			case verb == "EHLO":
				return "250-fake.test\n250 SMTPUTF8"
			case verb == "QUIT":
				return hang
			}
			return has(false)(d, verb, strings.TrimSuffix(arg, " SMTPUTF8"))
		})
		p := ofHost(t, h, func(c *Config) { c.Method = RCPT })
		wantSays(t, p, "nobody@d.test", policy.No) // its transaction takes no SMTPUTF8
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		got := p.Ask(ctx, address(t, "ännchen@d.test"))
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s %s after %s", got.Says, got.Why, took)
		}
		closeAndWait(p)
	})
}

// Connections that nobody used for a while end all at once, and in nobody's way,
// though the host has fallen silent.
func TestIdleConnectionsOfASilentHostEndInNobodysWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		h := crowdHost(func(d *dialogue, verb, _, said string) string {
			if silent.Load() && d.n <= 10 {
				return mute
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 5 })
		wantSays(t, p, "nobody@d.test", policy.No)
		wantEach(t, askAtOnce(t, p, "anna%d@d.test", 30), policy.Yes)
		silent.Store(true)
		time.Sleep(maxIdle + maxIdle/3)
		time.Sleep(quitTime)
		if n := p.pool.Stat().TotalResources(); n > 0 {
			t.Errorf("%d connections are not ended yet", n)
		}
		closeAndWait(p)
	})
}
