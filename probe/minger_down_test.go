package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// mingerSwitch is a host that can be silenced.
type mingerSwitch struct{ silent atomic.Bool }

func (s *mingerSwitch) of(script mingerScript) mingerScript {
	return func(n int, query string) []string {
		if s.silent.Load() {
			return nil
		}
		return script(n, query)
	}
}

// wantDown asks, and wants that it is known that the host is down, without a wait.
func wantDown(t *testing.T, p *MingerProber, s string) {
	t.Helper()
	got := wantMinger(t, p, s, policy.Unsure)
	if got.Took > time.Millisecond || !strings.Contains(got.Why, "cannot be reached since") {
		t.Errorf("%s: %q after %v", s, got.Why, got.Took)
	}
}

// A host that is silent is waited for once. It is asked in the background until it
// answers, and not often.
func TestMingerWaitsOnceForASilentHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var off mingerSwitch
		p, h := ofMingerScript(t, off.of(orderly()))
		wantMinger(t, p, "anna@d.test", policy.Yes)
		off.silent.Store(true)
		if got := wantMinger(t, p, "anna@d.test", policy.Unsure); got.Took != mingerTime {
			t.Errorf("%q after %v", got.Why, got.Took)
		}
		before := h.asked()
		for range 60 {
			wantDown(t, p, "anna@d.test")
			wantDown(t, p, "nobody@d.test")
			if _, err := p.Calibrate(t.Context(), "e.test"); !errors.Is(err, errDown) {
				t.Errorf("calibrated: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if s := p.State(); s.DownSince.IsZero() || !strings.Contains(s.Why, "no answer in time; it was asked 5 times") || !s.Reached {
			t.Errorf("%+v", s)
		}
		if n := h.asked() - before; n < 60*10 || n > 60*30 { // five in 10 s, and at most 7.5 s of rest
			t.Errorf("asked %d times in an hour", n)
		}
		off.silent.Store(false)
		time.Sleep(10 * time.Second)
		wantMinger(t, p, "anna@d.test", policy.Yes)
		wantMinger(t, p, "nobody@d.test", policy.No)
		if s := p.State(); !s.DownSince.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}

// One that was never heard is waited for once by all who come meanwhile, too.
func TestMingerHostThatWasNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ofMingerScript(t, func(int, string) []string { return nil })
		start := time.Now()
		var askers sync.WaitGroup
		for i := range 50 {
			askers.Go(func() { wantMinger(t, p, fmt.Sprintf("anna%d@d.test", i), policy.Unsure) })
		}
		askers.Wait()
		if took := time.Since(start); took != mingerTime {
			t.Errorf("50 questions took %v", took)
		}
		wantDown(t, p, "anna@d.test")
		if s := p.State(); s.Reached {
			t.Errorf("%+v", s)
		}
	})
}

// A host may have nothing to say about one address. As long as it answers others it
// is up, and if nobody asks about others that is found out at once.
func TestMingerHostThatIsSilentAboutOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ofMingerScript(t, orderly().about("berta@d.test", lines()))
		wantMinger(t, p, "anna@d.test", policy.Yes)
		var asker sync.WaitGroup
		asker.Go(func() {
			if got := wantMinger(t, p, "berta@d.test", policy.Unsure); !strings.Contains(got.Why, "to this question") {
				t.Error(got.Why)
			}
		})
		for range 12 {
			time.Sleep(time.Second)
			wantMinger(t, p, "anna@d.test", policy.Yes)
			if s := p.State(); !s.DownSince.IsZero() {
				t.Fatalf("%+v", s)
			}
		}
		asker.Wait()
		wantMinger(t, p, "berta@d.test", policy.Unsure)
		time.Sleep(2 * firstTry)
		wantMinger(t, p, "anna@d.test", policy.Yes)
	})
}

// Who leaves early says nothing of the host, who has waited for connect_timeout does:
// the deadline of a search may be shorter than reply_timeout.
func TestMingerAskerWhoGivesUp(t *testing.T) {
	for patience, down := range map[time.Duration]bool{4 * time.Second: false, 6 * time.Second: true} {
		for _, learnt := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				var off mingerSwitch
				h := &mingerPipes{script: off.of(orderly())}
				cfg := mingerConfig()
				cfg.Endpoint, cfg.dial, cfg.ConnectTimeout = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}, h.dial, 5*time.Second
				p := ofMinger(t, cfg, "")
				t.Cleanup(h.served.Wait)
				if learnt {
					wantMinger(t, p, "anna@d.test", policy.Yes)
				}
				off.silent.Store(true)
				var askers sync.WaitGroup
				for range 3 {
					askers.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), patience)
						defer cancel()
						if got := p.Ask(ctx, address(t, "anna@d.test")); got.Says != policy.Unsure || got.Took != patience {
							t.Errorf("%s (%s) after %v", got.Says, got.Why, got.Took)
						}
					})
				}
				askers.Wait()
				if s := p.State(); s.DownSince.IsZero() == down {
					t.Errorf("after %v: %+v", patience, s)
				}
				off.silent.Store(false)
				time.Sleep(5 * time.Second)
				wantMinger(t, p, "anna@d.test", policy.Yes)
			})
		}
	}
}

// A name that cannot be looked up is waited for once, too.
func TestMingerHostWithoutAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &mingerPipes{script: orderly()}
		var known atomic.Bool
		var lookups atomic.Int32
		cfg := mingerConfig()
		cfg.Endpoint = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}
		cfg.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if lookups.Add(1); !known.Load() {
				time.Sleep(3 * time.Second)
				return nil, errors.New("no such host")
			}
			return h.dial(ctx, network, address)
		}
		p := ofMinger(t, cfg, "")
		t.Cleanup(h.served.Wait)
		if got := wantMinger(t, p, "anna@d.test", policy.Unsure); got.Took != 3*time.Second {
			t.Errorf("%q after %v", got.Why, got.Took)
		}
		wantDown(t, p, "anna@d.test")
		time.Sleep(time.Minute)
		if n := lookups.Load(); n < 5 || n > 20 {
			t.Errorf("looked up %d times", n)
		}
		known.Store(true)
		time.Sleep(15 * time.Second)
		wantMinger(t, p, "anna@d.test", policy.Yes)
		wantMinger(t, p, "nobody@d.test", policy.No)
	})
}

// A fault of ours is an answer that says nothing, and not the end of the asking.
func TestMingerFaultOfOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &mingerPipes{script: orderly()}
		faulty := true
		cfg := mingerConfig()
		cfg.Endpoint = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}
		cfg.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if faulty {
				faulty = false
				panic("a bug")
			}
			return h.dial(ctx, network, address)
		}
		p := ofMinger(t, cfg, "")
		t.Cleanup(h.served.Wait)
		if got := wantMinger(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, "internal fault: a bug") {
			t.Error(got.Why)
		}
		time.Sleep(2 * firstTry)
		wantMinger(t, p, "anna@d.test", policy.Yes)
	})
}

// What cannot be asked by Minger says nothing of the host.
func TestMingerDomainThatCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ofMingerScript(t, orderly())
		if _, err := p.Calibrate(t.Context(), "bücher.test"); !errors.Is(err, errNotByMinger) {
			t.Errorf("calibrated: %v", err)
		}
		if s := p.State(); !s.DownSince.IsZero() {
			t.Errorf("%+v", s)
		}
		wantMinger(t, p, "anna@d.test", policy.Yes)
	})
}

// A prober may end while its host is knocked at.
func TestMingerCloseWhileTheHostIsDown(t *testing.T) {
	for _, when := range []time.Duration{0, 120 * time.Millisecond, 5 * time.Second, 25 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			p, _ := ofMingerScript(t, func(int, string) []string { return nil })
			wantMinger(t, p, "anna@d.test", policy.Unsure)
			time.Sleep(when)
			start := time.Now()
			p.Close()
			if took := time.Since(start); took != 0 {
				t.Errorf("Close took %v", took)
			}
		})
	}
}

// A server that ends is missed at once, and found again where it was.
func TestMingerServerThatIsStartedAnew(t *testing.T) {
	h := serveMinger(t, orderly())
	p := ofMingerHost(t, h)
	wantMinger(t, p, "anna@d.test", policy.Yes)
	_ = h.Close()
	wantMinger(t, p, "anna@d.test", policy.Unsure)
	if got := wantMinger(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, "no Minger server there") {
		t.Error(got.Why)
	}
	again, err := net.ListenPacket("udp", h.LocalAddr().String())
	if err != nil {
		t.Skip("its port was taken meanwhile") // by another process of this machine
	}
	honest := orderly()
	var serving sync.WaitGroup
	serving.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := again.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = again.WriteTo([]byte(honest(0, string(buf[:n]))[0]), from)
		}
	})
	defer serving.Wait()
	defer again.Close()
	for end := time.Now().Add(time.Minute); askMinger(t, p, "anna@d.test").Says != policy.Yes; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not found again")
		}
	}
	wantMinger(t, p, "nobody@d.test", policy.No)
}
