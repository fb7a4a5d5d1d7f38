package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// mingerScript is what a host does with a query: the datagrams that it sends
// back, in order. n counts the queries from one.
type mingerScript func(n int, query string) []string

// mingerd answers as the program does: it cuts at blanks, wants the digest if it
// has a secret, and brings the address back as it came.
func mingerd(secret string, statuses map[string]string) mingerScript {
	return func(_ int, query string) []string {
		mailbox, digest, _ := strings.Cut(query, " ")
		status, known := statuses[strings.ToLower(mailbox)]
		switch {
		case strings.Count(mailbox, "@") != 1:
			status = "0"
		case secret != "" && digest != "d="+mingerDigest(mailbox, secret):
			status = "2"
		case !known:
			status = "3"
		}
		return []string{mailbox + " " + status}
	}
}

// about lets a host that else is as it should be do something of its own with
// queries about one address.
func (s mingerScript) about(mailbox string, script func(n int) []string) mingerScript {
	var mu sync.Mutex
	times := 0
	return func(n int, query string) []string {
		if got, _, _ := strings.Cut(query, " "); got != mailbox {
			return s(n, query)
		}
		mu.Lock()
		times++
		n = times
		mu.Unlock()
		return script(n)
	}
}

// lines is a script that always says the same.
func lines(said ...string) func(int) []string { return func(int) []string { return said } }

// orderly is a host that has anna, a disabled dora and its postmaster.
func orderly() mingerScript {
	return mingerd("", map[string]string{"anna@d.test": "5", "dora@d.test": "4", "postmaster@d.test": "5", `"a,b"@d.test`: "5"})
}

// mingerHost is a host on a socket of this machine.
type mingerHost struct {
	net.PacketConn
	mu      sync.Mutex
	queries []string
	ports   []string // where they came from
	serving sync.WaitGroup
}

// serveMinger runs a host, one query at a time, until the test ends.
func serveMinger(t *testing.T, script mingerScript) *mingerHost {
	t.Helper()
	return serveMingerBy(t, func(h *mingerHost, n int, query string, from net.Addr) {
		for _, datagram := range script(n, query) {
			_, _ = h.WriteTo([]byte(datagram), from)
		}
	})
}

func serveMingerBy(t *testing.T, answer func(h *mingerHost, n int, query string, from net.Addr)) *mingerHost {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &mingerHost{PacketConn: conn}
	h.serving.Go(func() {
		buf := make([]byte, 2048)
		for n := 1; ; n++ {
			size, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			query := string(buf[:size])
			h.mu.Lock()
			h.queries, h.ports = append(h.queries, query), append(h.ports, from.String())
			h.mu.Unlock()
			answer(h, n, query, from)
		}
	})
	t.Cleanup(func() {
		_ = conn.Close()
		h.serving.Wait()
	})
	return h
}

func (h *mingerHost) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.queries...)
}

// mingerPipes is a host in memory, for tests in simulated time: a pipe for each
// socket. It keeps the boundaries of datagrams.
type mingerPipes struct {
	script mingerScript
	mu     sync.Mutex
	n      int
	open   int
	most   int         // sockets at once
	names  []string    // what was connected to
	times  []time.Time // of the queries
	served sync.WaitGroup
}

func (h *mingerPipes) dial(_ context.Context, network, address string) (net.Conn, error) {
	if network != "udp" {
		return nil, fmt.Errorf("over %s", network)
	}
	near, far := net.Pipe()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.names = append(h.names, address)
	h.open++
	h.most = max(h.most, h.open)
	h.served.Go(func() { h.serve(far) })
	return &mingerSocket{Conn: near, host: h}, nil
}

// asked returns how many queries there were.
func (h *mingerPipes) asked() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.n
}

// mingerSocket is our end, which is counted.
type mingerSocket struct {
	net.Conn
	host *mingerPipes
}

func (s *mingerSocket) Close() error {
	s.host.mu.Lock()
	defer s.host.mu.Unlock()
	s.host.open--
	return s.Conn.Close()
}

func (h *mingerPipes) serve(far net.Conn) {
	defer far.Close()
	buf := make([]byte, 2048)
	for {
		size, err := far.Read(buf)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.n++
		n := h.n
		h.times = append(h.times, time.Now())
		h.mu.Unlock()
		query := string(buf[:size])
		h.served.Go(func() { // a datagram that is not taken holds nothing up
			for _, datagram := range h.script(n, query) {
				_, _ = far.Write([]byte(datagram))
			}
		})
	}
}

// mingerTime is the ReplyTimeout of the tests.
const mingerTime = 10 * time.Second

func mingerConfig() Config {
	return Config{Name: "mail1", Connections: 4, ConnectTimeout: mingerTime, ReplyTimeout: mingerTime, Log: slog.New(slog.DiscardHandler)}
}

// ofMinger makes a MingerProber, which is closed with the test.
func ofMinger(t *testing.T, cfg Config, secret string) *MingerProber {
	t.Helper()
	p, err := NewMinger(cfg, secret)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// ofMingerHost is a prober of a host on a socket.
func ofMingerHost(t *testing.T, h *mingerHost) *MingerProber {
	t.Helper()
	cfg := mingerConfig()
	cfg.Endpoint = Endpoint{Network: "udp", Address: h.LocalAddr().String()}
	return ofMinger(t, cfg, "")
}

// ofMingerScript is a prober of a host in memory, in a bubble of synctest.
func ofMingerScript(t *testing.T, script mingerScript) (*MingerProber, *mingerPipes) {
	t.Helper()
	h := &mingerPipes{script: script}
	cfg := mingerConfig()
	cfg.Endpoint = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}
	cfg.dial = h.dial
	p := ofMinger(t, cfg, "")
	t.Cleanup(h.served.Wait) // before Close
	return p, h
}

func askMinger(t *testing.T, p *MingerProber, s string) policy.Answer {
	t.Helper()
	a, err := policy.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return p.Ask(t.Context(), a)
}

// wantMinger asks and fails the test if that is not the answer.
func wantMinger(t *testing.T, p *MingerProber, s string, want policy.Says) policy.Answer {
	t.Helper()
	got := askMinger(t, p, s)
	if got.Says != want {
		t.Errorf("%s: %s (%q %s), want %s", s, got.Says, got.Reply, got.Why, want)
	}
	if got.Says == policy.Unsure && got.Why == "" {
		t.Errorf("%s: unsure, and nobody knows why", s)
	}
	if got.Host != "mail1" || got.At.IsZero() {
		t.Errorf("%s: answer of %q at %v", s, got.Host, got.At)
	}
	return got
}
