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

// inCrowd has a prober of a distant host that has mailboxes that begin with anna, in a
// crowd that never ends.
func inCrowd(t *testing.T, test func(t *testing.T, h *distantHost, p *Prober), change ...func(*Config)) {
	synctest.Test(t, func(t *testing.T) {
		h := &distantHost{owns: "anna"}
		p := ofHost(t, &fakeHost{}, append([]func(*Config){func(c *Config) {
			c.Method, c.Connections, c.dial = RCPT, 1, h.dial
		}}, change...)...)
		wantSays(t, p, "nobody@d.test", policy.No)
		p.asking.Add(10)
		defer p.asking.Add(-10)
		test(t, h, p)
		p.Close()
		h.running.Wait()
	})
}

// annas asks about another mailbox each so often, for so long. The host refuses none, so
// a connection carries a hundred.
func annas(t *testing.T, p *Prober, often, long time.Duration) {
	var asking sync.WaitGroup
	for i := range int(long / often) {
		asking.Go(func() { ask(t, p, fmt.Sprintf("anna%d@d.test", i)) })
		time.Sleep(often)
	}
	asking.Wait()
}

func TestAPipeTakesNoQuestionsAfterClose(t *testing.T) {
	inCrowd(t, func(t *testing.T, _ *distantHost, p *Prober) {
		var asking sync.WaitGroup
		asking.Go(func() { annas(t, p, roundTrip*2/5, 40*roundTrip) })
		time.Sleep(10 * roundTrip)
		begun := time.Now()
		asking.Go(func() {
			time.Sleep(roundTrip / 50)
			wantSays(t, p, "annabel@d.test", policy.Unsure)
		})
		p.Close()
		if took := time.Since(begun); took > 3*roundTrip {
			t.Errorf("Close took %s", took)
		}
		asking.Wait()
	})
}

// askFor asks as long as that, and no longer.
func askFor(t *testing.T, p *Prober, long time.Duration, who string) policy.Answer {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	return p.Ask(ctx, address(t, who))
}

func TestWhoIsGoneFromAPipeBeforeItWasWrittenIsNotAskedFor(t *testing.T) {
	inCrowd(t, func(t *testing.T, h *distantHost, p *Prober) {
		asked := h.asked.Load()
		var asking sync.WaitGroup
		asking.Go(func() { annas(t, p, roundTrip/2, 20*roundTrip) })
		time.Sleep(4 * roundTrip)
		for i := range 100 {
			askFor(t, p, time.Microsecond, fmt.Sprintf("stranger%d@d.test", i))
			time.Sleep(roundTrip / 10)
		}
		asking.Wait()
		if n := h.asked.Load() - asked - 40; n > 0 {
			t.Errorf("it was asked about %d who were gone", n)
		}
	})
}

// A pipe that has nothing to write any more has asked nothing: its connection is kept.
func TestAConnectionWhoseFirstAskerIsGoneIsKept(t *testing.T) {
	inCrowd(t, func(t *testing.T, h *distantHost, p *Prober) {
		for i := range 20 {
			askFor(t, p, time.Microsecond, fmt.Sprintf("stranger%d@d.test", i))
		}
		wantSays(t, p, "annabel@d.test", policy.Yes)
		if n := h.sessions.Load(); n > 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// While the only connection is silent many ask, and go: neither are they in the line yet,
// nor is the host calibrated for them.
func TestWhoIsGoneFromTheLineTakesNoRoomInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(func(_ *dialogue, verb, arg, said string) string {
			if verb == "RCPT" && isAbout(arg, "silence") {
				return hang
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 1, 20*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		p.asking.Add(10)
		defer p.asking.Add(-10)
		var asking sync.WaitGroup
		asking.Go(func() { ask(t, p, "silence@d.test") })
		time.Sleep(5 * time.Second)
		for i := range 50 {
			askFor(t, p, time.Second/10, fmt.Sprintf("anna%d@other.test", i))
		}
		if n := p.crowd.waiting(); n > 0 {
			t.Errorf("%d are in the line", n)
		}
		asking.Wait()
		p.Close()
		for _, lines := range h.heard("RCPT") {
			for _, line := range lines {
				if strings.Contains(line, "other.test") {
					t.Error(line)
				}
			}
		}
	})
}

// A yes that would wait for the reply to what comes just before it does not, where that can
// go by a connection that is idle.
func TestAYesDoesNotWaitForALateQuestionWhereAConnectionIsIdle(t *testing.T) {
	inCrowd(t, func(t *testing.T, h *distantHost, p *Prober) {
		time.Sleep(10 * roundTrip) // another is opened ahead
		p.cfg.learnt.pace.usual = [2]time.Duration{roundTrip, roundTrip}
		var asking sync.WaitGroup
		asking.Go(func() {
			begun := time.Now()
			wantSays(t, p, "anna@d.test", policy.Yes)
			if took := time.Since(begun); took > roundTrip*5/4 {
				t.Errorf("after %s", took)
			}
		})
		time.Sleep(roundTrip * 3 / 4)
		wantSays(t, p, "stranger@d.test", policy.No)
		asking.Wait()
		if n := h.sessions.Load(); n < 2 {
			t.Errorf("%d connections", n)
		}
	}, func(c *Config) { c.Connections = 2 })
}

// Where a connection could not be had a moment ago no further one is sent for, be one idle: a
// question goes by the pipe that has room, rather than wait for that moment's end.
func TestAQuestionDoesNotWaitBesideAPipeWithRoomAfterAFailure(t *testing.T) {
	var stuck atomic.Bool
	inCrowd(t, func(t *testing.T, _ *distantHost, p *Prober) {
		time.Sleep(10 * roundTrip) // another is opened ahead
		p.cfg.learnt.pace.usual = [2]time.Duration{roundTrip, roundTrip}
		p.cfg.learnt.budget.refusals.now = mostRefusals
		for _, held := range p.pool.AcquireAllIdle() {
			held.Value().used.refusals = mostRefusals - 2 // it leaves when it is answered
			held.ReleaseUnused()
		}
		p.crowd.mu.Lock()
		p.crowd.pipes++ // another is stuck
		p.crowd.mu.Unlock()
		stuck.Store(true)
		var asking sync.WaitGroup
		asking.Go(func() { wantSays(t, p, "anna@d.test", policy.Yes) })
		time.Sleep(roundTrip * 3 / 4)
		p.crowd.mu.Lock()
		p.crowd.failed = time.Now()
		p.crowd.mu.Unlock()
		if p.pool.Stat().IdleResources() == 0 {
			t.Error("no connection is idle")
		}
		begun := time.Now()
		wantSays(t, p, "stranger@d.test", policy.No)
		if took := time.Since(begun); took > lineRest/2 {
			t.Errorf("after %s", took)
		}
		asking.Wait()
		p.crowd.mu.Lock()
		p.crowd.pipes--
		p.crowd.mu.Unlock()
	}, func(c *Config) { c.Connections = 2 }, stuckWhile(&stuck))
}
