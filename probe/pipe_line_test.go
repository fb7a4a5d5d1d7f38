package probe

import (
	"fmt"
	"sync"
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
