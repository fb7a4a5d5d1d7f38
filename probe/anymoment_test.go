package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// mishaps are what a host in trouble does at any moment.
var mishaps = []string{
	drop, hang, mute, "421 4.3.2 Service shutting down" + drop, "421 4.7.0 Error: too many errors" + drop, "421 4.7.0 busy",
	"450 4.7.1 greylisted", "451 4.3.0 try again", "554 5.7.1 blocked" + drop, "503 5.5.1 nested MAIL", "nonsense",
	"250 2.1.5 Ok\n250 2.1.5 Ok", "550 5.1.1 <other@d.test>: User unknown", "550-5.1.1 one\n551 5.1.1 two", "250 2.1.5 Ok\n421 4.3.2 bye" + drop,
}

// A host that may do anything at any moment: no mailbox is denied, nobody waits
// beyond his time, no more connections than configured are there at once, Close
// ends, and nothing is left behind.
func TestTroubleAtAnyMoment(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { trouble(t, seed) })
		})
	}
}

func trouble(t *testing.T, seed uint64) {
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a game
	roll := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return dice.IntN(n)
	}
	odds, connections, granted := 3+roll(40), 1+roll(8), 1+roll(8)
	var h *fakeHost
	h = crowdHost(func(_ *dialogue, verb, arg, said string) string {
		time.Sleep(time.Duration(roll(20)) * time.Millisecond)
		if verb == "GREETING" && h.openNow() > granted {
			return "421 4.7.0 too many connections" + drop
		}
		if roll(odds) == 0 {
			return strings.ReplaceAll(mishaps[roll(len(mishaps))], "other@", fmt.Sprintf("other%d@", roll(1000000)))
		}
		if roll(10*odds) == 0 {
			time.Sleep(time.Duration(roll(3000)) * time.Millisecond)
		}
		return said
	})
	p := ofHost(t, h, func(c *Config) {
		c.Connections, c.ReplyTimeout = connections, 5*time.Second
		if roll(2) == 0 {
			c.Method = RCPT
		}
	})
	var asking sync.WaitGroup
	var yes, no, unsure int
	for i := range 150 {
		asking.Go(func() {
			time.Sleep(time.Duration(roll(10000)) * time.Millisecond)
			wait := time.Duration(roll(10000)) * time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			who := []string{"anna", "stranger"}[i%2]
			begun := time.Now()
			got := p.Ask(ctx, address(t, fmt.Sprintf("%s%d@d.test", who, i)))
			if took := time.Since(begun); took > wait+100*time.Millisecond {
				t.Errorf("%s after %s, not %s: %s", got.Says, took, wait, got.Why)
			}
			mu.Lock()
			defer mu.Unlock()
			switch got.Says {
			case policy.Yes:
				yes++
			case policy.No:
				no++
				if who == "anna" {
					t.Errorf("anna: no: %q over %s", got.Reply, got.Method)
				}
			default:
				unsure++
			}
		})
	}
	if roll(3) == 0 {
		time.Sleep(time.Duration(roll(10000)) * time.Millisecond)
		begun := time.Now()
		p.Close()
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("Close took %s", took)
		}
	}
	asking.Wait()
	p.Close()
	time.Sleep(10 * time.Second)
	p.crowd.mu.Lock()
	defer p.crowd.mu.Unlock()
	if p.grants.open != 0 {
		t.Errorf("%d connections are left", p.grants.open)
	}
	if len(p.crowd.line) > 0 || p.crowd.pipes+p.crowd.coming != 0 || p.warming != 0 || p.asking.Load() != 0 {
		t.Errorf("left: line %d, pipes %d, coming %d, warming %d", len(p.crowd.line), p.crowd.pipes, p.crowd.coming, p.warming)
	}
	t.Logf("odds %d, %d of %d connections, %d dialogues (%d at once): yes %d, no %d, unsure %d", odds, granted, connections,
		h.connections(), h.most(), yes, no, unsure)

}
