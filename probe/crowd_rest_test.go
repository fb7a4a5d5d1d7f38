package probe

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// A host that takes almost all of reply_timeout for each reply. Nobody waits any
// more, and the prober is closed.
func TestARoundThatNobodyWaitsForIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		h := crowdHost(func(_ *dialogue, verb, _, said string) string {
			if verb == "RCPT" && slow.Load() {
				time.Sleep(9500 * time.Millisecond)
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 2, 10*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		slow.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var asking sync.WaitGroup
		for i := range 20 {
			asking.Go(func() { p.Ask(ctx, address(t, "anna"+string(rune('a'+i))+"@d.test")) })
		}
		asking.Wait()
		begun := time.Now()
		p.Close()
		took := time.Since(begun)
		t.Logf("nobody waits, and Close took %s", took)
		if took > 15*time.Second {
			t.Errorf("Close took %s", took)
		}
		time.Sleep(5 * time.Minute)
	})
}

// One connection is slow; another could not be had once; then nobody joins.
func TestALineIsServedAfterARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var state atomic.Int32
		h := crowdHost(func(d *dialogue, verb, arg, said string) string {
			switch {
			case verb == "RCPT" && strings.Contains(arg, "tarpit"): // this domain's are held back
				time.Sleep(9 * time.Second)
			case verb == "GREETING" && state.CompareAndSwap(1, 2):
				return "421 4.7.0 too many connections just now" + drop
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 3, 10*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		p.asking.Add(10)
		defer p.asking.Add(-10)
		var asking sync.WaitGroup
		for i := range 6 {
			asking.Go(func() { ask(t, p, "tarpit"+string(rune('a'+i))+"@d.test") })
		}
		time.Sleep(2 * time.Second) // they are in a round
		// use up idle connections
		for _, held := range p.pool.AcquireAllIdle() {
			held.Destroy()
		}
		time.Sleep(3 * time.Second)
		state.Store(1)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		begun := time.Now()
		got := p.Ask(ctx, address(t, "anna1@d.test"))
		t.Logf("state %d: after %s: %s %s; %d connections", state.Load(), time.Since(begun), got.Says, got.Why, h.connections())
		if got.Says != policy.Yes {
			t.Error("starved")
		}
		asking.Wait()
		p.Close()
		time.Sleep(5 * time.Minute)
	})
}
