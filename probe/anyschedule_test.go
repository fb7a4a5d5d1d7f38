package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// Whoever asks when, and whatever comes over the host: nobody is told what is not so,
// each is answered in his time, and nothing is left behind.
func TestNoScheduleOfACrowdIsAnsweredWrong(t *testing.T) {
	for range 100 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%#x", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { anySchedule(t, seed) })
		})
	}
}

func anySchedule(t *testing.T, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 1))
	host := &moodyHost{distantHost: distantHost{owns: "anna", holds: seed%2 == 0}, chaos: rand.New(rand.NewPCG(seed, 2)), calm: []float64{1, 0.9, 0.6, 0}[chance.IntN(4)]}
	connections := 1 + chance.IntN(8)
	timeout := time.Duration(1+chance.IntN(5)) * time.Second
	p := ofHost(t, &fakeHost{}, func(c *Config) {
		c.Method, c.Connections, c.dial, c.ReplyTimeout, c.ConnectTimeout = []Method{Auto, RCPT}[chance.IntN(2)], connections, host.dial, timeout, timeout
	})
	for range 3 {
		_ = ask(t, p, "nobody@d.test")
	}
	closes := chance.IntN(3) == 0
	// A host that grants one connection is asked some 40 questions a second, and fewer if it holds
	// replies back.
	enough := 5 * time.Second
	if host.holds {
		enough = 7 * time.Second
	}
	spread := time.Duration(1+chance.IntN(4000)) * time.Millisecond
	asking := crowdAtRandom(t, p, chance, spread, func(a policy.Address, got policy.Answer, took, lasts time.Duration) {
		if host.calm == 1 && got.Says == policy.Unsure && lasts > enough && !closes {
			t.Errorf("%s: %s after %s of %s", a, got.Why, took, lasts)
		}
	})
	if closes {
		time.Sleep(time.Duration(chance.Int64N(int64(spread))))
		p.Close()
	}
	asking.Wait()
	endSchedule(t, p, host)
}

// crowdAtRandom has a crowd ask, each when he likes within spread. None may be told what is not
// so, nor be answered late; what else is to be seen to is also's.
func crowdAtRandom(t *testing.T, p *Prober, chance *rand.Rand, spread time.Duration,
	also func(a policy.Address, got policy.Answer, took, lasts time.Duration),
) (asking *sync.WaitGroup) {
	asking = new(sync.WaitGroup)
	known := chance.Float64()
	for i := range 20 + chance.IntN(150) {
		who, not := "stranger", policy.Yes
		if chance.Float64() < known {
			who, not = "anna", policy.No
		}
		a := address(t, fmt.Sprintf("%s%d@%s", who, chance.IntN(60), []string{"d.test", "d.test", "d.test", "e.test"}[chance.IntN(4)]))
		begins, lasts := time.Duration(chance.Int64N(int64(spread))), time.Duration(1+chance.IntN(8000))*time.Millisecond
		asking.Go(func() {
			time.Sleep(begins)
			ctx, cancel := context.WithTimeout(t.Context(), lasts)
			defer cancel()
			begun := time.Now()
			got := p.Ask(ctx, a)
			took := time.Since(begun)
			if got.Says == not {
				t.Errorf("question %d, %s: %s %s %q", i, a, got.Says, got.Method, got.Reply)
			}
			if took > lasts+time.Millisecond {
				t.Errorf("question %d, %s: after %s of %s", i, a, took, lasts)
			}
			also(a, got, took, lasts)
		})
	}
	return asking
}

// endSchedule closes the prober. Nothing is left of it, nor were there more connections than
// the host was to have: but for one that takes its time to see that it is left.
func endSchedule(t *testing.T, p *Prober, host *moodyHost) {
	t.Helper()
	p.Close()
	most := p.cfg.Connections
	if host.calm < 1 {
		most += max(p.cfg.Connections/2, 1)
	}
	if seen := int(host.mostOpen.Load()); seen > most {
		t.Errorf("%d connections at once, of %d", seen, p.cfg.Connections)
	}
	wantNothingLeft(t, p)
	host.running.Wait()
	if n := host.open.Load(); n != 0 {
		t.Errorf("%d connections are open yet", n)
	}
}

// wantNothingLeft looks at a prober that was closed.
func wantNothingLeft(t *testing.T, p *Prober) {
	t.Helper()
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pipes != 0 || c.coming != 0 || len(c.open) != 0 || len(c.line) != 0 {
		t.Errorf("%d pipes, %d coming, %d open, %d in the line", c.pipes, c.coming, len(c.open), len(c.line))
	}
	if n := p.leaving.Load(); n != 0 {
		t.Errorf("%d are leaving", n)
	}
	if n := p.asking.Load(); n != 0 {
		t.Errorf("%d are asking", n)
	}
	if p.grants.open != 0 || p.grants.coming != 0 {
		t.Errorf("granted: %d open, %d coming", p.grants.open, p.grants.coming)
	}
}

// A yes too many, and then a question that was put a part of a round trip after the
// others: what the host says is not taken for the answer to it.
func TestAYesTooManyIsNoAnswerToALaterQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &moodyHost{distantHost: distantHost{owns: "anna"}, chaos: rand.New(rand.NewPCG(1, 2)), calm: 1}
		p := ofHost(t, &fakeHost{}, func(c *Config) { c.Method, c.Connections, c.dial = RCPT, 1, host.dial })
		for range 12 { // both greetings are known
			wantSays(t, p, "nobody@d.test", policy.No)
			p.CloseIdle()
		}
		host.calm, host.only = 0, &mood{2, "says yes too"} // behind EHLO and MAIL
		p.asking.Add(10)                                   // a crowd
		defer p.asking.Add(-10)
		var asking sync.WaitGroup
		asking.Go(func() { ask(t, p, "anna@d.test") })
		asking.Go(func() {
			time.Sleep(roundTrip * 33 / 10) // anna is asked about
			ask(t, p, "annabel@d.test")
		})
		asking.Go(func() {
			time.Sleep(roundTrip * 36 / 10)
			if got := ask(t, p, "stranger@d.test"); got.Says == policy.Yes {
				t.Errorf("%q", got.Reply)
			}
		})
		asking.Wait()
		p.Close()
		host.running.Wait()
	})
}

// The same before the first question of a pipe, over a connection that was there.
func TestAYesTooManyIsNoAnswerToTheFirstQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &moodyHost{distantHost: distantHost{owns: "anna"}, chaos: rand.New(rand.NewPCG(1, 2)), calm: 1}
		p := ofHost(t, &fakeHost{}, func(c *Config) { c.Method, c.Connections, c.dial = RCPT, 1, host.dial })
		for range 12 { // both greetings are known
			wantSays(t, p, "nobody@d.test", policy.No)
			p.CloseIdle()
		}
		host.calm, host.only = 0, &mood{2, "says yes later"} // behind EHLO and MAIL
		p.asking.Add(10)                                     // a crowd
		defer p.asking.Add(-10)
		wantSays(t, p, "nobody@d.test", policy.No)
		wantSays(t, p, "stranger@d.test", policy.No) // which is put before that yes has come
		p.Close()
		host.running.Wait()
	})
}
