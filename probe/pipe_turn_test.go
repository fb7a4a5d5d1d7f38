package probe

import (
	"sync"
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
