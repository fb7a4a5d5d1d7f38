package probe

import (
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func (c *crowd) doHold() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.holds > mostHeld
}

// What is known of a host that holds replies back is found out again after a while: where nothing is
// written behind nothing is learnt.
func TestAHostIsNotTakenToHoldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &distantHost{owns: "anna"}
		p := ofHost(t, &fakeHost{}, func(c *Config) { c.Method, c.Connections, c.dial = RCPT, 5, h.dial })
		wantSays(t, p, "nobody@d.test", policy.No)
		p.asking.Add(10)
		defer p.asking.Add(-10)
		p.crowd.mu.Lock()
		p.crowd.pipes++ // the crowd goes on
		p.crowd.holds, p.crowd.heldAt = 2*mostHeld, time.Now()
		p.crowd.mu.Unlock()
		for _, known := range []bool{true, false} {
			wantSays(t, p, "nobody@d.test", policy.No)
			if p.crowd.doHold() != known {
				t.Errorf("known %v after %s", !known, time.Since(p.crowd.heldAt))
			}
			time.Sleep(pipeRest)
		}
		p.crowd.mu.Lock()
		p.crowd.pipes--
		p.crowd.mu.Unlock()
		p.Close()
		h.running.Wait()
	})
}
