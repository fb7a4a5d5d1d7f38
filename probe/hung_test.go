package probe

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// A host that hangs while connections to it are at rest is waited for once: none of the
// others is tried, and when no further connection is had it is down.
func TestHostThatHangsWithConnectionsAtRest(t *testing.T) {
	var hung atomic.Bool
	tells := has(false, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if hung.Load() {
			return hang
		}
		if verb == "RCPT" {
			time.Sleep(10 * time.Millisecond)
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		var askers sync.WaitGroup
		for range 4 {
			askers.Go(func() { wantSays(t, p, "anna@d.test", policy.Yes) })
		}
		askers.Wait()
		if n := p.pool.Stat().IdleResources(); n < 3 {
			t.Fatalf("%d connections at rest", n)
		}
		hung.Store(true)
		start := time.Now()
		for i := range 8 {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			got := p.Ask(ctx, address(t, "anna@d.test"))
			cancel()
			if took := time.Since(begun); got.Says != policy.Unsure || i > 0 && took > 0 {
				t.Errorf("%d: %s (%s) after %v", i, got.Says, got.Why, took)
			}
		}
		if took := time.Since(start); took != 20*time.Second || p.State().DownSince.IsZero() {
			t.Errorf("%v until it is down: %+v", took, p.State())
		}
		hung.Store(false)
		time.Sleep(20 * time.Second) // until the last one that hung is given up, and the next was tried
		start = time.Now()
		for range 8 {
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "nobody@d.test", policy.No)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("16 answers after %v", took)
		}
		p.Close()
		time.Sleep(time.Minute)
	}, func(c *Config) { c.Connections = 5 })
}

// A connection may be lost while the host is well. Those that rested meanwhile are
// changed for others, and nobody waits for another one.
func TestConnectionsThatAreLostAtRest(t *testing.T) {
	var lost atomic.Int64 // those up to this one say nothing any more
	tells := has(false, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if int64(d.n) <= lost.Load() {
			return hang
		}
		if verb == "RCPT" {
			time.Sleep(10 * time.Millisecond)
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		var askers sync.WaitGroup
		for range 4 {
			askers.Go(func() { wantSays(t, p, "anna@d.test", policy.Yes) })
		}
		askers.Wait()
		time.Sleep(time.Second) // one may be opened ahead
		lost.Store(int64(h.connections()))
		for i := range 8 {
			start := time.Now()
			wantSays(t, p, "anna@d.test", policy.Yes)
			if took := time.Since(start).Round(time.Second); took != 0 && i > 0 || i == 0 && took != 10*time.Second {
				t.Errorf("%d: after %v", i, took)
			}
		}
		p.Close()
		time.Sleep(time.Minute)
	}, func(c *Config) { c.Connections = 5 })
}
