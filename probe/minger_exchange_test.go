package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// TestMingerRepeats: datagrams get lost, on the way there or back.
func TestMingerRepeats(t *testing.T) {
	for _, tt := range []struct {
		lost int
		want policy.Says
		took time.Duration
	}{
		{0, policy.Yes, 0},
		{1, policy.Yes, 500 * time.Millisecond},
		{2, policy.Yes, 1500 * time.Millisecond},
		{4, policy.Yes, 7500 * time.Millisecond},
		{5, policy.Unsure, mingerTime},
	} {
		t.Run(fmt.Sprint(tt.lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, h := ofMingerScript(t, orderly().about("berta@d.test", func(n int) []string {
					if n <= tt.lost {
						return nil
					}
					return []string{"berta@d.test 5"}
				}))
				wantMinger(t, p, "anna@d.test", policy.Yes) // calibrates
				before := len(h.times)
				got := wantMinger(t, p, "berta@d.test", tt.want)
				if got.Took != tt.took {
					t.Errorf("took %v, want %v", got.Took, tt.took)
				}
				if asked := len(h.times) - before; asked != min(tt.lost+1, 5) {
					t.Errorf("asked %d times", asked)
				}
			})
		})
	}
}

// TestMingerSlowHost: the reply to a datagram comes after the next one was sent.
func TestMingerSlowHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ofMingerScript(t, orderly().about("berta@d.test", func(int) []string {
			time.Sleep(2 * time.Second)
			return []string{"berta@d.test 3"}
		}))
		if got := wantMinger(t, p, "berta@d.test", policy.No); got.Took != 2*time.Second {
			t.Errorf("took %v", got.Took)
		}
	})
}

func TestMingerEndsWithItsContext(t *testing.T) {
	for _, host := range []string{"silent", "silent about one", "flooding"} {
		t.Run(host, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				script := mingerScript(func(int, string) []string { return nil })
				switch host {
				case "silent about one":
					script = orderly().about("berta@d.test", lines())
				case "flooding":
					script = func(int, string) []string {
						time.Sleep(time.Millisecond)
						return slices.Repeat([]string{"anna@d.test 3"}, 100)
					}
				}
				p, _ := ofMingerScript(t, script)
				berta, err := policy.ParseAddress("berta@d.test")
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(1200*time.Millisecond, cancel)
				if got := p.Ask(ctx, berta); got.Says != policy.Unsure || got.Took != 1200*time.Millisecond {
					t.Errorf("cancelled: %s (%s) after %v", got.Says, got.Why, got.Took)
				}
				ctx, cancel = context.WithTimeout(t.Context(), 700*time.Millisecond)
				defer cancel()
				if got := p.Ask(ctx, berta); got.Says != policy.Unsure || got.Took != 700*time.Millisecond {
					t.Errorf("timed out: %s (%s) after %v", got.Says, got.Why, got.Took)
				}
				if got := p.Ask(ctx, berta); got.Says != policy.Unsure || got.Took != 0 {
					t.Errorf("too late: %s (%s) after %v", got.Says, got.Why, got.Took)
				}
			})
		})
	}
}

// slowDeadline is a socket whose deadlines for later take a while to be set: long
// enough for the end of a context to come in between.
type slowDeadline struct{ net.Conn }

func (c slowDeadline) SetDeadline(at time.Time) error {
	if at.After(time.Now()) {
		time.Sleep(time.Millisecond)
	}
	return c.Conn.SetDeadline(at)
}

func TestMingerNoticesTheEndOfItsContextAtAnyTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &mingerPipes{script: func(int, string) []string { return nil }}
		cfg := mingerConfig()
		cfg.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := h.dial(ctx, network, address)
			return slowDeadline{conn}, err
		}
		p := ofMinger(t, cfg, "")
		t.Cleanup(h.served.Wait)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 {
			start := time.Now()
			if _, err := p.exchange(ctx, "mail1.d.test:4069", "anna@d.test"); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if took := time.Since(start); took > time.Millisecond {
				t.Fatalf("took %v", took)
			}
		}
	})
}

// TestMingerNobodyListens: ICMP says so at once.
func TestMingerNobodyListens(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := mingerConfig()
	cfg.Endpoint = Endpoint{Network: "udp", Address: conn.LocalAddr().String()}
	_ = conn.Close()
	p := ofMinger(t, cfg, "")
	if got := wantMinger(t, p, "anna@d.test", policy.Unsure); got.Took >= mingerTime || !strings.Contains(got.Why, "no Minger server there") {
		t.Errorf("%s after %v", got.Why, got.Took)
	}
	if _, err := p.Calibrate(t.Context(), "d.test"); err == nil {
		t.Error("calibrated")
	}
}

func TestMingerCannotBeReached(t *testing.T) {
	cfg := mingerConfig()
	cfg.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no such host") }
	p := ofMinger(t, cfg, "")
	if got := wantMinger(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, "cannot be reached: no such host") {
		t.Error(got.Why)
	}
}

// TestMingerHearsItsHostOnly: others know the port and what we ask, and are
// quicker. The kernel does not pass it on.
func TestMingerHearsItsHostOnly(t *testing.T) {
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	honest := orderly()
	h := serveMingerBy(t, func(h *mingerHost, n int, query string, from net.Addr) {
		for range 3 {
			_, _ = other.WriteTo([]byte(query+" 3"), from)
		}
		_, _ = h.WriteTo([]byte(honest(n, query)[0]), from)
	})
	p := ofMingerHost(t, h)
	wantMinger(t, p, "anna@d.test", policy.Yes)
	wantMinger(t, p, "nobody@d.test", policy.No)
}

// TestMingerUnmixed: the answers to two questions under way come in the wrong
// order, late, twice, and each to the other's port too.
func TestMingerUnmixed(t *testing.T) {
	honest := orderly()
	type asked struct {
		query string
		from  net.Addr
	}
	var waiting []asked
	h := serveMingerBy(t, func(h *mingerHost, n int, query string, from net.Addr) {
		if query != "anna@d.test" && query != "nobody@d.test" {
			_, _ = h.WriteTo([]byte(honest(n, query)[0]), from)
			return
		}
		if slices.ContainsFunc(waiting, func(a asked) bool { return a.query == query }) {
			return // asked again while the other is not there yet
		}
		if waiting = append(waiting, asked{query, from}); len(waiting) < 2 {
			return
		}
		for _, to := range waiting {
			for _, a := range slices.Backward(waiting) {
				for range 2 {
					_, _ = h.WriteTo([]byte(honest(0, a.query)[0]), to.from)
				}
			}
		}
		waiting = nil
	})
	p := ofMingerHost(t, h)
	for range 10 {
		var askers sync.WaitGroup
		askers.Go(func() { wantMinger(t, p, "anna@d.test", policy.Yes) })
		askers.Go(func() { wantMinger(t, p, "nobody@d.test", policy.No) })
		askers.Wait()
	}
}

// TestMingerPorts: each question comes from a port of its own.
func TestMingerPorts(t *testing.T) {
	h := serveMinger(t, orderly())
	p := ofMingerHost(t, h)
	for range 10 {
		wantMinger(t, p, "nobody@d.test", policy.No)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ports := slices.Compact(slices.Sorted(slices.Values(h.ports)))
	if len(ports) < len(h.ports)/2 { // chance may give the same one twice
		t.Errorf("%d questions from %d ports", len(h.ports), len(ports))
	}
}

// TestMingerMany: many askers, a host that loses and doubles datagrams.
func TestMingerMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mailboxes := map[string]string{"postmaster@d.test": "5"}
		for i := range 100 {
			mailboxes[fmt.Sprintf("yes%d@d.test", i)] = "5"
		}
		honest := mingerd("", mailboxes)
		p, h := ofMingerScript(t, func(n int, query string) []string {
			said := honest(n, query)
			switch n % 4 {
			case 0:
				return nil
			case 1:
				return append(said, said...)
			case 2:
				time.Sleep(time.Duration(n%7) * 100 * time.Millisecond)
				return append([]string{"other@d.test 3"}, said...)
			}
			return said
		})
		var askers sync.WaitGroup
		for i := range 100 {
			for want, name := range map[policy.Says]string{policy.Yes: "yes", policy.No: "no"} {
				askers.Go(func() {
					// Never the wrong one; unsure where all repetitions were lost.
					got := askMinger(t, p, fmt.Sprintf("%s%d@d.test", name, i))
					if got.Says != want && got.Says != policy.Unsure {
						t.Errorf("%s%d: %s (%s)", name, i, got.Says, got.Why)
					}
				})
			}
		}
		askers.Wait()
		if h.most > 4 {
			t.Errorf("%d questions at once", h.most)
		}
	})
}
