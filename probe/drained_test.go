package probe

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func drainedBy(drained *atomic.Bool) func(*Config) {
	return func(c *Config) { c.Drained = drained.Load }
}

func TestDrainedHostHearsNothingButQUIT(t *testing.T) {
	var drained atomic.Bool
	inBubble(t, has(true, "anna"), func(b bubble) {
		t, h, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		drained.Store(true)
		p.CloseIdle()
		synctest.Wait()
		if h.count("QUIT") != 1 || h.openNow() != 0 {
			t.Errorf("drained, and %d connections are open: %q", h.openNow(), h.heard())
		}
		if a := wantSays(t, p, "anna@d.test", policy.Unsure); a.Took != 0 || a.Why != "it is drained, and not asked" {
			t.Errorf("after %v: %s", a.Took, a.Why)
		}
		if _, err := p.Calibrate(t.Context(), "other.test"); err == nil {
			t.Error("it was calibrated")
		}
		p.warmUp()
		time.Sleep(time.Hour)
		if n := h.connections(); n != 1 {
			t.Errorf("%d connections, want the one from before", n)
		}
		drained.Store(false)
		wantSays(t, p, "anna@d.test", policy.Yes)
	}, drainedBy(&drained))
}

// A question that is under way when its host is drained is answered, and its
// connection ended, as is one that was being opened ahead.
func TestHostThatIsDrainedDuringAQuestion(t *testing.T) {
	var drained atomic.Bool
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && isAbout(arg, "anna") || verb == "GREETING" && d.n > 1 {
			time.Sleep(time.Second)
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		time.AfterFunc(500*time.Millisecond, func() {
			p.warmUp()
			synctest.Wait()
			drained.Store(true)
			p.CloseIdle()
		})
		wantSays(t, p, "anna@d.test", policy.Yes)
		time.Sleep(2 * time.Second) // and not until the next look at idle connections
		synctest.Wait()
		if h.connections() != 2 || h.count("QUIT") != 2 || h.openNow() != 0 {
			t.Errorf("drained, and %d of %d connections are open: %q", h.openNow(), h.connections(), h.heard())
		}
	}, drainedBy(&drained), func(c *Config) { c.Connections = 2 })
}

// A host that is down and drained is not tried, and is found when it is back.
func TestDrainedHostIsNotTriedInTheBackground(t *testing.T) {
	var drained, up atomic.Bool
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if !up.Load() {
			return drop
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Unsure)
		if s := p.State(); s.DownSince.IsZero() || s.Why == "" || s.Reached {
			t.Errorf("state %+v", s)
		}
		drained.Store(true)
		before := h.connections()
		time.Sleep(time.Hour)
		if n := h.connections() - before; n > 0 {
			t.Errorf("it was tried %d times", n)
		}
		up.Store(true)
		drained.Store(false)
		time.Sleep(2 * lastTry)
		wantSays(t, p, "anna@d.test", policy.Yes)
	}, drainedBy(&drained))
}

func TestMingerDrained(t *testing.T) {
	var drained atomic.Bool
	h := serveMinger(t, orderly())
	cfg := mingerConfig()
	cfg.Endpoint = Endpoint{Network: "udp", Address: h.LocalAddr().String()}
	cfg.Drained = drained.Load
	p := ofMinger(t, cfg, "")
	drained.Store(true)
	wantMinger(t, p, "anna@d.test", policy.Unsure)
	if _, err := p.Calibrate(t.Context(), "d.test"); err == nil {
		t.Error("it was calibrated")
	}
	p.CloseIdle()
	if got := h.asked(); len(got) != 0 {
		t.Errorf("asked %q", got)
	}
	drained.Store(false)
	wantMinger(t, p, "anna@d.test", policy.Yes)
}

// The line of a far host is answered soon when the host is drained: what is on the
// wire by its reply, the rest by unsure, and no connection is left.
func TestACrowdOfAHostThatIsDrained(t *testing.T) {
	for _, after := range []time.Duration{0, 300 * time.Millisecond, 700 * time.Millisecond, 1100 * time.Millisecond, 1700 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			var drained atomic.Bool
			h := crowdHost(nil)
			p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.Drained = RCPT, 4, drained.Load })
			wantSays(t, p, "nobody@d.test", policy.No)
			before := 0
			time.AfterFunc(after, func() {
				drained.Store(true)
				before = h.connections()
				p.CloseIdle()
			})
			begun := time.Now()
			for _, got := range askAtOnce(t, p, "anna%d@d.test", 100) {
				if got.Says == policy.No {
					t.Errorf("after %v: %s %q", after, got.Says, got.Reply)
				}
			}
			if took := time.Since(begun); took > after+5*time.Second {
				t.Errorf("after %v: it took %v", after, took)
			}
			time.Sleep(time.Until(begun.Add(after + 1)))
			wantEach(t, askAtOnce(t, p, "anna%d@d.test", 100), policy.Unsure)
			time.Sleep(3 * time.Second) // and not until the next look at idle connections
			synctest.Wait()
			if open, made := h.openNow(), h.connections()-before; open > 0 || made > 4 {
				t.Errorf("after %v: %d connections are open, %d were opened", after, open, made)
			}
		})
	}
}
