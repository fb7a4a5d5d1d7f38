package probe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// Weathers of a host, all its connections alike, which change while it is asked.
const (
	fine = iota
	hangs
	refuses
	drops
	full        // 421
	greetsLate  // after 6 s
	repliesLate // after 3 s
	weathers
)

// weather is a host of changing weather, which has anna.
type weather struct {
	now atomic.Int32
	*fakeHost
}

func newWeather() *weather {
	w := &weather{}
	tells := has(false, "anna")
	w.fakeHost = newPipeHost(func(d *dialogue, verb, arg string) string {
		switch w.now.Load() {
		case hangs:
			return hang
		case drops:
			return drop
		case full:
			if verb == "GREETING" {
				return "421 4.3.2 Too many connections" + drop
			}
		case greetsLate:
			if verb == "GREETING" {
				time.Sleep(6 * time.Second)
			}
		case repliesLate:
			time.Sleep(3 * time.Second)
		}
		return tells(d, verb, arg)
	})
	return w
}

func (w *weather) dialIt(ctx context.Context, network, address string) (net.Conn, error) {
	if w.now.Load() == refuses {
		return nil, errors.New("connection refused")
	}
	return w.dial(ctx, network, address)
}

func (w *weather) says(_ int, query string) []string {
	switch w.now.Load() {
	case hangs, drops:
		return nil
	case full:
		return []string{"?"}
	case greetsLate, repliesLate:
		time.Sleep(3 * time.Second)
	}
	return orderly()(0, query)
}

// asker is what the weather is tried on.
type asker interface {
	policy.Prober
	State() State
	Close()
}

// Whatever the weather is when, and whoever asks and leaves when: nobody is told what is not
// so, each is answered in his time, and when it is fine again the host soon is up, and
// asked without delay. Nothing is left behind.
func TestHostOfChangingWeather(t *testing.T) {
	for range 30 {
		for _, minger := range []bool{false, true} {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%#x %t", seed, minger), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { anyWeather(t, seed, minger) })
			})
		}
	}
}

func anyWeather(t *testing.T, seed uint64, minger bool) {
	chance := rand.New(rand.NewPCG(seed, 1))
	w := newWeather()
	var drained atomic.Bool
	change := func(c *Config) {
		c.Connections, c.dial, c.Drained = 1+chance.IntN(6), w.dialIt, drained.Load
		c.ConnectTimeout, c.ReplyTimeout = 5*time.Second, 10*time.Second
	}
	var p asker
	if minger {
		h := &mingerPipes{script: w.says}
		c := mingerConfig()
		change(&c)
		c.Endpoint = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if w.now.Load() == refuses {
				return nil, errors.New("connection refused")
			}
			return h.dial(ctx, network, address)
		}
		p = ofMinger(t, c, "")
		t.Cleanup(h.served.Wait)
	} else {
		p = ofHost(t, w.fakeHost, change)
	}
	wants := func(who string, not policy.Says, lasts time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), lasts)
		defer cancel()
		begun := time.Now()
		got := p.Ask(ctx, address(t, who))
		if took := time.Since(begun); got.Says == not || took > lasts+time.Millisecond {
			t.Errorf("%s: %s %q %s after %v of %v", who, got.Says, got.Reply, got.Why, took, lasts)
		}
	}
	var asking sync.WaitGroup
	for range 10 + chance.IntN(100) {
		who, not := "anna@d.test", policy.No
		if chance.IntN(2) == 0 {
			who, not = fmt.Sprintf("nobody%d@d.test", chance.IntN(50)), policy.Yes
		}
		begins, lasts := time.Duration(chance.IntN(120_000))*time.Millisecond, time.Duration(1+chance.IntN(25_000))*time.Millisecond
		asking.Go(func() {
			time.Sleep(begins)
			wants(who, not, lasts)
		})
	}
	for range 2 + chance.IntN(12) {
		w.now.Store(int32(chance.IntN(weathers)))
		drained.Store(chance.IntN(8) == 0)
		time.Sleep(time.Duration(chance.IntN(20_000)) * time.Millisecond)
	}
	if closes := chance.IntN(3) == 0; !closes {
		drained.Store(false)
		w.now.Store(fine)
		asking.Wait()
		time.Sleep(30 * time.Second)
		if s := p.State(); !s.DownSince.IsZero() {
			t.Errorf("down: %s", s.Why)
		}
		begun := time.Now()
		for range 20 {
			asking.Go(func() {
				if got := p.Ask(t.Context(), address(t, "anna@d.test")); got.Says != policy.Yes {
					t.Errorf("in fine weather: %s %q %s", got.Says, got.Reply, got.Why)
				}
			})
		}
		asking.Wait()
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("in fine weather 20 questions took %v", took)
		}
	}
	begun := time.Now()
	p.Close()
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("Close took %v", took)
	}
	asking.Wait()
	if smtp, ok := p.(*Prober); ok {
		wantNothingLeft(t, smtp)
		if s := smtp.State(); s.InUse != 0 || strings.Contains(s.Why, "internal fault") {
			t.Errorf("%+v", s)
		}
	}
	w.conns.Wait()
}
