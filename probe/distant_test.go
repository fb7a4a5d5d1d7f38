package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// roundTrip is how far away distant hosts are.
const roundTrip = 50 * time.Millisecond

// Postfix's defaults: from so many errors on each reply takes a second
// (smtpd_soft_error_limit), and after so many the session ends
// (smtpd_hard_error_limit).
const (
	softErrorLimit = 10
	hardErrorLimit = 20
)

// distantHost answers as Postfix does, half a round trip away, in simulated time:
// what is measured is the asking, not what hosts and processors bear. It has the
// mailboxes whose address begins with owns.
type distantHost struct {
	owns     string
	holds    bool // it sends nothing more while what it sent last has yet to be acknowledged (RFC 896)
	running  sync.WaitGroup
	sessions atomic.Int32
	asked    atomic.Int32
	slowed   atomic.Int32 // replies that were held back
	open     atomic.Int32
	mostOpen atomic.Int32
}

func (h *distantHost) dial(context.Context, string, string) (net.Conn, error) {
	time.Sleep(roundTrip) // SYN, and the answer to it
	here, near := net.Pipe()
	far, there := net.Pipe()
	h.sessions.Add(1)
	h.running.Go(func() { h.carry(near, far) })
	h.running.Go(func() { h.carryBack(far, near) })
	h.running.Go(func() { h.serve(there) })
	return here, nil
}

// carry copies what comes in, each piece half a round trip after it came.
func (h *distantHost) carry(from, to net.Conn) { h.carryFor(from, to, false) }

// carryBack is carry of what the host says.
func (h *distantHost) carryBack(from, to net.Conn) { h.carryFor(from, to, h.holds) }

// carryFor is carry for a sender who may hold a piece until what was sent before is acknowledged,
// or nothing more is to come.
func (h *distantHost) carryFor(from, to net.Conn, holds bool) {
	type piece struct {
		data []byte
		came time.Time
	}
	under, ended := make(chan piece, 1024), make(chan time.Time, 1)
	h.running.Go(func() {
		defer close(under)
		for {
			buf := make([]byte, 4096)
			n, err := from.Read(buf)
			if n > 0 {
				under <- piece{buf[:n], time.Now()}
			}
			if err != nil {
				ended <- time.Now()
				return
			}
		}
	})
	var sent, end time.Time
	for p := range under {
		acknowledged := sent.Add(roundTrip)
		switch {
		case !holds || !p.came.Before(acknowledged):
			sent = p.came
		case p.came.After(sent): // what came until it is sent goes with it
			if end.IsZero() {
				select {
				case end = <-ended:
				case <-time.After(time.Until(acknowledged)):
				}
			}
			if sent = acknowledged; !end.IsZero() && end.Before(sent) {
				sent = end
			}
		}
		time.Sleep(time.Until(sent.Add(roundTrip / 2)))
		if _, err := to.Write(p.data); err != nil {
			break
		}
	}
	_, _ = from.Close(), to.Close()
	for range under { // the reader ends when its connection does
	}
}

func (h *distantHost) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	defer h.opened()()
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	_, _ = out.WriteString("220 fake.test ESMTP\r\n")
	for errs := 0; errs < hardErrorLimit; {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if errs >= softErrorLimit {
			h.slowed.Add(1)
			time.Sleep(time.Second)
		}
		reply, refused := h.reply(strings.TrimSpace(line))
		if refused {
			errs++
		}
		if _, _ = io.WriteString(out, reply+"\r\n"); strings.HasPrefix(reply, "221") {
			_ = out.Flush()
			return
		}
	}
}

// opened counts a connection, until closed.
func (h *distantHost) opened() (closed func()) {
	for n := h.open.Add(1); ; {
		most := h.mostOpen.Load()
		if n <= most || h.mostOpen.CompareAndSwap(most, n) {
			break
		}
	}
	return func() { h.open.Add(-1) }
}

func (h *distantHost) reply(line string) (reply string, refused bool) {
	verb, arg, _ := strings.Cut(line, " ")
	switch verb {
	case "EHLO":
		return "250-fake.test\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES", false
	case "QUIT":
		return "221 2.0.0 Bye", false
	case "VRFY", "RCPT":
		h.asked.Add(1)
		switch mailbox := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>"); {
		case !strings.HasPrefix(mailbox, h.owns):
			return fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown", mailbox), true
		case verb == "VRFY":
			return "252 2.0.0 " + mailbox, false
		}
	}
	return "250 2.0.0 Ok", false
}

// crowdOf lets 64 askers look addresses up among the hosts, mailboxes of each in
// turn or strangers, and returns how many a second they had. A look-up is settled by
// the first host that has the mailbox and those before it, as the search has it.
func crowdOf(t *testing.T, probers []*Prober, lookups int, known bool, run int) float64 {
	var next atomic.Int64
	var asking, answering sync.WaitGroup
	begun := time.Now()
	for range 64 {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < lookups; i = int(next.Add(1)) - 1 {
				owner, local := len(probers)-1, "stranger"
				if known {
					owner = i % len(probers)
					local = fmt.Sprintf("user%d", owner)
				}
				var settled sync.WaitGroup
				settled.Add(owner + 1)
				for at, p := range probers {
					answering.Go(func() {
						want := policy.No
						if known && at == owner {
							want = policy.Yes
						}
						got := ask(t, p, fmt.Sprintf("%s.%d.%d@d.test", local, run, i))
						if got.Says != want {
							t.Errorf("look-up %d, host %d: %s %s, want %s", i, at, got.Says, got.Why, want)
						}
						if at <= owner {
							settled.Done()
						}
					})
				}
				settled.Wait()
			}
		})
	}
	asking.Wait()
	rate := float64(lookups) / time.Since(begun).Seconds()
	answering.Wait()
	return rate
}

// 64 askers over 20 connections to each of three hosts that are 50 ms away. Each has one
// look-up after the other: with replies that come after one round trip there can be 1,280
// a second. What the hosts allow is another bound. It takes 2.5 round trips to open a
// connection, and the next one is begun when QUIT is written. Strangers: nine questions
// in one write, so 20 connections carry 20*9/(2.5*50 ms) = 1,440 a second. Mailboxes, of
// whose questions a third is not refused: nine, and then three one round trip later,
// 20*12/(3.5*50 ms) = 1,371.
func TestACrowdOfADistantHostIsServedAtLineSpeed(t *testing.T) {
	for name, test := range map[string]struct {
		known, holds bool
		want         float64
	}{
		"unknown":                   {want: 1080},
		"known":                     {known: true, want: 1060},
		"unknown, replies are held": {holds: true, want: 1020},
		"known, replies are held":   {known: true, holds: true, want: 1050},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hosts []*distantHost
				for i := range 3 {
					hosts = append(hosts, &distantHost{owns: fmt.Sprintf("user%d.", i), holds: test.holds})
				}
				var probers []*Prober
				for _, h := range hosts {
					probers = append(probers, ofHost(t, &fakeHost{}, func(c *Config) { c.Connections, c.dial = 20, h.dial }))
				}
				crowdOf(t, probers, 1000, false, 1) // connections are open, budgets learnt
				rate := crowdOf(t, probers, 3000, test.known, 2)
				t.Logf("%.0f look-ups a second", rate)
				if rate < test.want {
					t.Errorf("%.0f look-ups a second, want %.0f at least", rate, test.want)
				}
				for i, h := range hosts {
					probers[i].Close()
					h.running.Wait()
					t.Logf("host %d: %d questions over %d connections, %d at once", i, h.asked.Load(), h.sessions.Load(), h.mostOpen.Load())
					if most := h.mostOpen.Load(); most > 20 {
						t.Errorf("host %d saw %d connections at once", i, most)
					}
					if h.slowed.Load() > 0 {
						t.Errorf("host %d held %d replies back", i, h.slowed.Load())
					}
				}
			})
		})
	}
}
