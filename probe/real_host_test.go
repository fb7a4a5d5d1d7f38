package probe

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// realCase is a server of one kind as it is set up, and what is to be said of
// addresses at it.
type realCase struct {
	name   string
	start  func(testing.TB) *realhost.Host
	change func(*Config, *realhost.Host) // nil: nothing

	yes, no, unsure []string
	method          string // by which yes and no are said
	strangers       policy.Says
	bears           used // what a connection to the host is used for at most
	// learns is on how many connections it may be found out what the host bears,
	// by asking more and being asked to stop.
	learns int
}

// as returns the case with another name and server.
func (c realCase) as(name string, start func(testing.TB) *realhost.Host) realCase {
	c.name, c.start = name, start
	return c
}

// by returns the case with a method that is wanted.
func (c realCase) by(method Method) realCase {
	c.change = func(cfg *Config, _ *realhost.Host) { cfg.Method = method }
	return c
}

func (c realCase) learning(on int) realCase {
	c.learns = on
	return c
}

// run asks about the addresses, one by one, and then about strangers.
func (c realCase) run(t *testing.T) {
	t.Helper()
	t.Parallel()
	h := c.start(t)
	tap := new(wiretap)
	p := ofRealHost(t, h, func(cfg *Config) {
		cfg.dial = tap.dial
		if c.change != nil {
			c.change(cfg, h)
		}
	})
	wantAll(t, p, c.yes, policy.Yes, c.method)
	wantAll(t, p, c.no, policy.No, c.method)
	wantAll(t, p, c.unsure, policy.Unsure, "")
	c.askStrangers(t, p)
	settle(t, p)
	p.Close()
	tap.check(t, c.bears, c.learns)
	if lines := hadEnough.FindAllString(h.Log(), -1); len(lines) > c.learns {
		t.Errorf("the host had enough %d times, first: %s", len(lines), lines[0])
	}
}

// askStrangers asks about 500 addresses that nobody has, ten at a time, and now
// and then about one that somebody has.
func (c realCase) askStrangers(t *testing.T, p *Prober) {
	t.Helper()
	var asking sync.WaitGroup
	var next atomic.Int32
	for range 10 {
		asking.Go(func() {
			for n := int(next.Add(1)); n <= 500; n = int(next.Add(1)) {
				wantSays(t, p, fmt.Sprintf("nobody%d@d.test", n), c.strangers)
				if len(c.yes) > 0 && n%10 == 0 {
					wantSays(t, p, c.yes[n/10%len(c.yes)], policy.Yes) // by RCPT if the host is slow
				}
			}
		})
	}
	asking.Wait()
}

// hadEnough is what hosts log when a client has made too many mistakes, asked for
// too much or left without a word.
var hadEnough = regexp.MustCompile(`(?im)^.*(too many| 421 |lost connection|lost input|unexpected disconnection|error limit|hung up|possible SMTP attack|throttl).*$`)

// wiretap counts what is asked over each connection, and refused.
type wiretap struct {
	mu    sync.Mutex
	conns []*tapped
}

// tapped is a connection. Its counts are read when it is closed; those of one
// with TLS are of what came before.
type tapped struct {
	conn
	used      used
	quit, tls bool
	last      []byte // of what was read: the line that has no end yet
}

// conn is what there is of a connection to a real host beyond reading and writing.
type conn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
}

func (w *wiretap) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	one := &tapped{conn: c.(conn)}
	w.conns = append(w.conns, one)
	return one, nil
}

func (c *tapped) Write(p []byte) (int, error) {
	if !c.tls {
		c.used.vrfys += bytes.Count(p, []byte("VRFY "))
		c.used.rcpts += bytes.Count(p, []byte("RCPT TO:"))
	}
	c.quit = c.quit || bytes.HasSuffix(p, []byte("QUIT\r\n"))
	if bytes.HasPrefix(p, []byte("STARTTLS")) {
		c.tls = true
	}
	return c.conn.Write(p)
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.conn.Read(p)
	if c.tls {
		return n, err
	}
	c.last = append(c.last, p[:n]...)
	for {
		line, rest, ok := bytes.Cut(c.last, []byte("\n"))
		if !ok {
			return n, err
		}
		if len(line) > 3 && line[0] == '5' && line[3] == ' ' {
			c.used.refusals++
		}
		c.last = rest
	}
}

// check fails the test if connections, more than learns, were used for more than
// the host bears, or one was not left with QUIT. The Prober is closed.
func (w *wiretap) check(t *testing.T, bears used, learns int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var worn []used
	for n, c := range w.conns {
		if c.used.vrfys > bears.vrfys || c.used.rcpts > bears.rcpts || c.used.refusals > bears.refusals {
			worn = append(worn, c.used)
		}
		if !c.quit && !c.tls {
			t.Errorf("connection %d was left without QUIT", n+1)
		}
	}
	if len(worn) > learns {
		t.Errorf("connections were used for %+v, the host bears %+v", worn, bears)
	}
}
