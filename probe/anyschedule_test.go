package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// moodyHost is a distant host over whose connections some trouble comes now and then,
// another over each.
type moodyHost struct {
	distantHost
	mu    sync.Mutex
	chaos *rand.Rand
	calm  float64 // the part of the connections without trouble
	only  *mood   // what comes over those with it; nil: any
}

// mood is what comes over a connection at its nth command.
type mood struct {
	at   int
	what string
}

var moods = []string{
	"hangs up", "hangs up behind", "is silent", "is silent within a line", "says it twice", "says yes too", "says yes later", "says no too", "says 421 too",
	"leaves one out", "is slow", "is slow from now on", "holds back", "says 450", "says 421", "says 554", "lingers",
}

func (h *moodyHost) draw(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chaos.IntN(n)
}

func (h *moodyHost) mood() mood {
	if float64(h.draw(1000)) < 1000*h.calm {
		return mood{at: -1}
	}
	if h.only != nil {
		return *h.only
	}
	m := mood{h.draw(14), moods[h.draw(len(moods))]}
	if h.holds && strings.HasPrefix(m.what, "says yes") || h.holds && m.what == "says it twice" {
		// It would set off when the next question has come, and look like the reply to that.
		m.at = -1
	}
	return m
}

func (h *moodyHost) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-time.After(roundTrip):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if h.calm < 1 && h.draw(20) == 0 {
		return nil, errors.New("connection refused")
	}
	here, near := net.Pipe()
	far, there := net.Pipe()
	h.sessions.Add(1)
	closed := sync.OnceFunc(h.opened())
	h.running.Go(func() { h.carry(near, far) })
	h.running.Go(func() { h.carryBack(far, near) })
	h.running.Go(func() {
		h.serve(there)
		closed()
		_ = there.Close()
	})
	return &countedConn{here, closed}, nil
}

// countedConn is a connection that counts until either side closes it.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (h *moodyHost) serve(conn net.Conn) {
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	m, slow := h.mood(), false
	_, _ = fmt.Fprintf(out, "220 fake%d.test ESMTP\r\n", h.draw(2))
	errs := 0
	for n := 0; ; n++ {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		said, refused := h.reply(line)
		if refused {
			errs++
		}
		if errs > softErrorLimit {
			time.Sleep(time.Second)
		}
		about := line != "QUIT" && !strings.HasPrefix(line, "EHLO")
		if n >= m.at && m.at >= 0 && (about || m.what == "lingers") {
			if m.what != "lingers" || line == "QUIT" {
				m.at = -1
			}
			switch m.what {
			case "hangs up":
				return
			case "hangs up behind":
				_, _ = io.WriteString(out, said+"\r\n")
				_ = out.Flush()
				return
			case "is silent", "is silent within a line":
				if m.what == "is silent within a line" {
					_, _ = io.WriteString(out, said[:h.draw(len(said))])
				}
				_ = out.Flush()
				_, _ = io.Copy(io.Discard, in)
				return
			case "says it twice":
				said += "\r\n" + said
			case "says yes too":
				said += "\r\n250 2.1.5 Ok"
			case "says yes later":
				_, _ = io.WriteString(out, said+"\r\n")
				_ = out.Flush()
				time.Sleep(time.Duration(1+h.draw(40)) * time.Millisecond)
				said = "250 2.1.5 Ok"
			case "says no too":
				said += "\r\n" + unasked
			case "says 421 too":
				_, _ = io.WriteString(out, said+"\r\n421 4.7.0 too many errors\r\n")
				_ = out.Flush()
				return
			case "leaves one out":
				continue
			case "is slow":
				time.Sleep(time.Duration(h.draw(3000)) * time.Millisecond)
			case "is slow from now on":
				slow = true
			case "holds back":
				time.Sleep(5 * time.Second)
			case "says 450":
				said = "450 4.2.0 greylisted"
			case "says 421":
				said = "421 4.7.0 too many errors"
			case "says 554":
				said = "554 5.7.1 go away"
			case "lingers":
				if line == "QUIT" {
					time.Sleep(time.Duration(h.draw(5000)) * time.Millisecond)
				}
			}
		}
		if slow {
			time.Sleep(time.Duration(h.draw(300)) * time.Millisecond)
		}
		if h.draw(4) == 0 && strings.HasPrefix(said, "550 5.1.1") && !strings.Contains(said, "\n") {
			said = "550-" + said[4:] + "\r\n550 5.1.1 sorry"
		}
		_, _ = io.WriteString(out, said+"\r\n")
		if strings.HasPrefix(said, "221") {
			_ = out.Flush()
			return
		}
	}
}

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
	var asking sync.WaitGroup
	closes := chance.IntN(3) == 0
	// A host that grants one connection is asked some 40 questions a second, and fewer if it holds
	// replies back.
	enough := 5 * time.Second
	if host.holds {
		enough = 7 * time.Second
	}
	spread := time.Duration(1+chance.IntN(4000)) * time.Millisecond
	known := chance.Float64()
	for i := range 20 + chance.IntN(150) {
		who := "stranger"
		if chance.Float64() < known {
			who = "anna"
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
			if got.Says != policy.Unsure && got.Says != map[bool]policy.Says{true: policy.Yes, false: policy.No}[who == "anna"] {
				t.Errorf("question %d, %s: %s %s %q", i, a, got.Says, got.Method, got.Reply)
			}
			if took > lasts+time.Millisecond {
				t.Errorf("question %d, %s: after %s of %s", i, a, took, lasts)
			}
			if host.calm == 1 && got.Says == policy.Unsure && lasts > enough && !closes {
				t.Errorf("question %d, %s: %s after %s of %s", i, a, got.Why, took, lasts)
			}
		})
	}
	if closes {
		time.Sleep(time.Duration(chance.Int64N(int64(spread))))
		p.Close()
	}
	asking.Wait()
	p.Close()
	most := connections
	if host.calm < 1 {
		most += max(connections/2, 1)
	}
	if seen := int(host.mostOpen.Load()); seen > most {
		t.Errorf("%d connections at once, of %d", seen, connections)
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
