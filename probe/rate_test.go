package probe

import (
	"testing"
	"time"
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
