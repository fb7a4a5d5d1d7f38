package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// tornHost is a distant host with TLS from the first octet on, that makes records of its
// replies, and segments of its records, as chance will have it: several replies in one,
// and less than a line.
type tornHost struct {
	distantHost
	tls    *tls.Config
	mu     sync.Mutex
	chance *rand.Rand
	tears  tears
}

func (h *tornHost) draw(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chance.IntN(n)
}

func (h *tornHost) dial(context.Context, string, string) (net.Conn, error) {
	time.Sleep(roundTrip)
	here, near := net.Pipe()
	far, there := net.Pipe()
	h.sessions.Add(1)
	h.running.Go(func() { h.carry(near, far) })
	h.running.Go(func() { h.carry(far, &tornConn{Conn: near, draw: h.draw, pause: roundTrip / 10}) })
	h.running.Go(func() { h.serve(tls.Server(there, h.tls)) })
	return &records{Conn: here, tears: &h.tears}, nil
}

func (h *tornHost) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in, said := bufio.NewReader(conn), "220 fake.test ESMTP\r\n"
	out := &tornConn{Conn: conn, draw: h.draw} // a record each
	for {
		if in.Buffered() == 0 || h.draw(8) == 0 {
			if _, err := out.Write([]byte(said)); err != nil || strings.HasPrefix(said, "221") {
				return
			}
			said = ""
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		reply, _ := h.reply(strings.TrimSpace(line))
		said += reply + "\r\n"
	}
}

// tornConn writes in pieces of random lengths.
type tornConn struct {
	net.Conn
	draw  func(n int) int
	pause time.Duration // at most, before each
}

func (c *tornConn) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if c.pause > 0 {
			time.Sleep(time.Duration(c.draw(int(c.pause))))
		}
		size := 1 + c.draw(len(p)-n)
		if c.draw(2) == 0 {
			size = len(p) - n
		}
		var wrote int
		wrote, err = c.Conn.Write(p[n : n+size])
		n += wrote
	}
	return n, err
}

// tears counts how often who reads was woken before a record, or its header, was whole.
type tears struct{ torn atomic.Int32 }

// records looks on at TLS records that are read.
type records struct {
	net.Conn
	tears  *tears
	header []byte // what was read of one
	left   int    // of the record behind it
}

func (r *records) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	for _, octet := range p[:n] {
		if r.left > 0 {
			r.left--
			continue
		}
		if r.header = append(r.header, octet); len(r.header) == 5 { // RFC 8446 section 5.1
			r.left, r.header = int(r.header[3])<<8|int(r.header[4]), nil
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && (r.left > 0 || len(r.header) > 0) {
		r.tears.torn.Add(1)
	}
	return n, err
}

// However a host's replies are torn under TLS, and whenever a pipe is woken to take another
// question: each is put once, and gets the reply that is its own.
func TestNoReplyIsLostOrDoubledInAPipeUnderTLS(t *testing.T) {
	cert := newAuthority(t).certify(t, "mail.d.test", time.Hour)
	pair, err := tls.X509KeyPair([]byte(cert.pem), []byte(cert.pem))
	if err != nil {
		t.Fatal(err)
	}
	var torn int32
	for _, most := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for range 10 {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%#x", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					h := &tornHost{
						distantHost: distantHost{owns: "anna"}, chance: rand.New(rand.NewPCG(seed, 1)),
						tls: &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: most},
					}
					askTorn(t, h)
					torn += h.tears.torn.Load()
				})
			})
		}
	}
	t.Logf("woken %d times within a record", torn)
	if torn == 0 {
		t.Error("no pipe was woken within a record")
	}
}

func askTorn(t *testing.T, h *tornHost) {
	p := ofHost(t, &fakeHost{}, func(c *Config) {
		c.Method, c.Connections, c.dial, c.Security = RCPT, 1+h.draw(3), h.dial, Security{Level: TLSEncrypt, Wrapper: true}
	})
	wantSays(t, p, "nobody@d.test", policy.No)
	p.asking.Add(10) // a crowd
	defer p.asking.Add(-10)
	asked := h.asked.Load()
	done := make(chan struct{})
	h.running.Go(func() { wakeOften(p, done) })
	var asking sync.WaitGroup
	const questions = 200
	for i := range questions {
		who, want := fmt.Sprintf("stranger%d@d.test", i), policy.No
		if h.draw(8) > 0 {
			who, want = fmt.Sprintf("anna%d@d.test", i), policy.Yes
		}
		asking.Go(func() { wantSays(t, p, who, want) })
		time.Sleep(time.Duration(h.draw(int(roundTrip / 3))))
	}
	asking.Wait()
	close(done)
	p.Close()
	h.running.Wait()
	if n := h.asked.Load() - asked; n != questions {
		t.Errorf("%d questions were put for %d", n, questions)
	}
}

// wakeOften wakes all pipes every millisecond, until done.
func wakeOften(p *Prober, done chan struct{}) {
	for {
		select {
		case <-time.After(time.Millisecond):
		case <-done:
			return
		}
		p.crowd.mu.Lock()
		for _, q := range p.crowd.open {
			q.wake()
		}
		p.crowd.mu.Unlock()
	}
}
