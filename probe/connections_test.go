package probe

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func TestNeverMoreConnectionsThanGranted(t *testing.T) {
	tells := has(true, "anna")
	for name, answer := range map[string]answerer{
		"well": tells,
		"hangs up at the third": func(d *dialogue, verb, arg string) string {
			if verb == "VRFY" && d.count("VRFY") == 3 {
				return drop
			}
			return tells(d, verb, arg)
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Of a host that is far away a place is free as soon as QUIT is said. On a
			// busy machine any may seem so, but not where time is not real.
			synctest.Test(t, func(t *testing.T) {
				h := newPipeHost(answer)
				p := ofHost(t, h, func(c *Config) { c.Connections = 3 })
				var asking sync.WaitGroup
				for i := range 100 {
					asking.Go(func() {
						for n := range 5 {
							wantSays(t, p, "anna@d.test", policy.Yes)
							wantSays(t, p, fmt.Sprintf("nobody%d.%d@d.test", i, n), policy.No)
						}
					})
				}
				asking.Wait()
				p.Close()
				if n := h.most(); n > 3 {
					t.Errorf("%d connections at once", n)
				}
				if least := 1000 / 5; h.connections() > 3*least {
					t.Errorf("%d connections for 1000 questions", h.connections())
				}
			})
		})
	}
}

// A host that hangs up, or babbles, as soon as it has been greeted sees one
// connection for each question, not one after the other until the asker gives up.
func TestNoStormOfConnections(t *testing.T) {
	for _, bye := range []string{"250 fake.test" + drop, "250 fake.test\n421 busy", "250 fake.test\n421 busy" + drop} {
		h := newHost(t, func(_ *dialogue, verb, _ string) string {
			if verb == "EHLO" {
				return bye
			}
			return ""
		})
		p := ofHost(t, h)
		for range 3 {
			wantSays(t, p, "anna@d.test", policy.Unsure)
		}
		if n := h.connections(); n > 6 {
			t.Errorf("%q: %d connections for three questions", bye, n)
		}
	}
}

// bubble is a test with a host without a network, in which time passes at once.
type bubble struct {
	t *testing.T
	h *fakeHost
	p *Prober
}

func (b bubble) open() (*testing.T, *fakeHost, *Prober) { return b.t, b.h, b.p }

func inBubble(t *testing.T, answer answerer, test func(bubble), change ...func(*Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHost(answer)
		test(bubble{t, h, ofHost(t, h, append([]func(*Config){func(c *Config) { c.ReplyTimeout = 10 * time.Second }}, change...)...)})
	})
}

func TestIdleConnectionIsClosedPolitely(t *testing.T) {
	inBubble(t, has(true, "anna"), func(b bubble) {
		t, h, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		time.Sleep(maxIdle - time.Second)
		wantSays(t, p, "anna@d.test", policy.Yes)
		if n := h.connections(); n != 1 {
			t.Fatalf("%d connections, want the one that was kept", n)
		}
		time.Sleep(maxIdle + maxIdle/3 + time.Second)
		synctest.Wait()
		if h.count("QUIT") != 1 || h.openNow() != 0 {
			t.Errorf("idle, and %d connections are open: %q", h.openNow(), h.heard())
		}
		wantSays(t, p, "nobody@d.test", policy.No)
		if n := h.connections(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	})
}

// Between two looks at the idle connections one may have grown too old.
func TestIdleOrAgedConnectionIsNotUsedAgain(t *testing.T) {
	inBubble(t, has(true, "anna"), func(b bubble) {
		t, h, p := b.open()
		time.Sleep(maxIdle/3 - time.Second)
		wantSays(t, p, "anna@d.test", policy.Yes)
		time.Sleep(maxIdle) // to a second before the look that would close it
		wantSays(t, p, "anna@d.test", policy.Yes)
		if n := h.connections(); n != 2 {
			t.Errorf("%d connections: one that was idle for %v was used again", n, maxIdle)
		}
		for _, held := range p.pool.AcquireAllIdle() {
			held.Value().born = time.Now().Add(-maxAge - time.Second)
			held.ReleaseUnused()
		}
		wantSays(t, p, "anna@d.test", policy.Yes)
		if n := h.connections(); n != 3 {
			t.Errorf("%d connections: an aged one was used again", n)
		}
		if n := h.count("QUIT"); n != 2 {
			t.Errorf("QUIT %d times, want 2", n)
		}
	})
}

// A host that does not answer QUIT is not waited for long.
func TestHostThatDoesNotLetGo(t *testing.T) {
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "QUIT" {
			return hang
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		start := time.Now()
		for range 20 {
			wantSays(t, p, "anna@d.test", policy.Yes)
		}
		p.Close()
		if took := time.Since(start); took > 6*quitTime || h.openNow() > 0 {
			t.Errorf("took %v, %d connections left", took, h.openNow())
		}
	})
}

// An asker's context that ends just when the reply is there must not end the
// next one's question on the same connection.
func TestDeadlineIsNotLeftOverForTheNextQuestion(t *testing.T) {
	for range 500 {
		client, server := net.Pipe()
		w := newWire(client)
		ctx, cancel := context.WithCancel(t.Context())
		done := w.within(ctx, patience)
		var canceling sync.WaitGroup
		canceling.Go(cancel)
		done()
		done = w.within(t.Context(), patience)
		canceling.Wait()
		go func() { _, _ = server.Write([]byte("250 Ok\r\n")) }()
		if r, err := readReply(w.in); err != nil || r.Code != 250 {
			t.Fatalf("%v, %v", r, err)
		}
		done()
		_ = client.Close()
		_ = server.Close()
	}
}

func TestTraceShowsTheDialogue(t *testing.T) {
	h := newHost(t, has(true, "anna"))
	p := ofHost(t, h)
	var mu sync.Mutex
	var seen []string
	ctx := WithTrace(t.Context(), func(host string, sent bool, line string) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprintf("%s %v %s", host, sent, line))
	})
	p.Ask(ctx, address(t, "anna@d.test"))
	wantSays(t, p, "nobody@d.test", policy.No) // not traced
	p.Close()
	mu.Lock()
	defer mu.Unlock()
	want := []string{
		"mail1 false 220 fake.test ESMTP", "mail1 true EHLO postwhere-test.front.test", "mail1 false 250-fake.test", "mail1 false 250 ENHANCEDSTATUSCODES",
		"", "", "mail1 true VRFY anna@d.test", "mail1 false 252 2.0.0 anna@d.test",
	}
	if len(seen) != len(want) {
		t.Fatalf("%q", seen)
	}
	for i, line := range want {
		if line != "" && seen[i] != line {
			t.Errorf("%q, want %q", seen[i], line)
		}
	}
}

// A session begins at the host when the network has granted it, and there the host
// reads its tables; we may hear of it later. A no is never taken to be younger.
func TestNoIsAsOldAsTheBeginningOfItsConnection(t *testing.T) {
	h := newPipeHost(has(true, "anna"))
	synctest.Test(t, func(t *testing.T) {
		p := ofHost(t, h, func(c *Config) {
			c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := h.dial(ctx, network, address)
				time.Sleep(time.Second)
				return conn, err
			}
		})
		begun := time.Now()
		if got := wantSays(t, p, "nobody@d.test", policy.No); got.At.After(begun) {
			t.Errorf("a no of %v later than its connection", got.At.Sub(begun))
		}
	})
}

// A host that grants fewer connections than we may open: they carry the questions,
// and it is not bothered with one further connection after the other.
func TestAHostThatWantsNoMoreConnectionsIsAskedOverThoseItHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refused atomic.Int32
		var h *fakeHost
		h = crowdHost(func(_ *dialogue, verb, _, said string) string {
			if verb == "GREETING" && h.openNow() > 2 {
				refused.Add(1)
				return "421 4.7.0 too many connections" + drop
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 10 })
		wantSays(t, p, "nobody@d.test", policy.No)
		begun := time.Now()
		for range 10 {
			wantEach(t, askAtOnce(t, p, "anna%d@d.test", 30), policy.Yes)
		}
		took := time.Since(begun)
		p.Close()
		time.Sleep(time.Second) // the host notices
		if most := 20 * (took/busyRest + 1); int(refused.Load()) > int(most) {
			t.Errorf("%d connections more than the host wants in %s, want %d at most", refused.Load(), took, most)
		}
	})
}
