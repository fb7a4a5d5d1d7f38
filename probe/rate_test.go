package probe

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// Pipes would carry questions past the rate that the host was granted.
func TestNoPipesWhereQuestionsHaveARate(t *testing.T) {
	for rate, want := range map[int]bool{0: true, 10: false} {
		p := ofHost(t, newPipeHost(nil), func(c *Config) { c.Rate = rate })
		p.asking.Add(100)
		p.cfg.learnt.pace.note(time.Second, false, true)
		if got := p.crowded(address(t, "anna@d.test")); got != want {
			t.Errorf("rate %d: in a pipe %v, want %v", rate, got, want)
		}
		p.asking.Add(-100)
	}
}

// What postwhere asks for itself, calibrations and witnesses, counts as well. A
// domain's first question brings one of its own.
func TestOwnQuestionsCountTowardsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHost(func(_ *dialogue, verb, _ string) string {
			if verb == "RCPT" {
				return "550 5.1.1 User unknown"
			}
			return ""
		})
		const rate = 4
		p := ofHost(t, h, func(c *Config) { c.Method, c.Rate = RCPT, rate })
		begun := time.Now()
		for i := range 40 {
			wantSays(t, p, fmt.Sprintf("nobody@d%d.test", i), policy.No)
		}
		took := time.Since(begun)
		p.Close()
		asked := 0
		for _, lines := range h.heard("RCPT") {
			asked += len(lines)
		}
		if asked < 80 {
			t.Fatalf("%d questions, of which %d are calibrations", asked, asked-40)
		}
		if most := rate*took.Seconds() + rate + 1; float64(asked) > most {
			t.Errorf("%d questions in %s, want %.0f at most", asked, took, most)
		}
	})
}
