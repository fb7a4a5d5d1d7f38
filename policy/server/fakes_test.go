package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errOurs is a fault of the face's.
var errOurs = errors.New("no verdict")

// lines is an exchange for the tests: one line, one reply. Some lines ask for
// trouble; "wait" waits for the context or for a token.
func lines(token chan struct{}) Exchange {
	return func(ctx context.Context, r *bufio.Reader, w *bufio.Writer) error {
		line, err := ReadLine(r, 100)
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		switch said := string(line); said {
		case "malformed":
			w.WriteString("half a reply")
			return fmt.Errorf("%w: %q", ErrMalformed, said)
		case "fault":
			w.WriteString("half a reply")
			return errOurs
		case "panic":
			panic("upset")
		case "wait":
			select {
			case <-token:
			case <-ctx.Done():
				return ctx.Err()
			}
		case "long":
			_, err := w.WriteString(strings.Repeat("x", 100_000) + "\n")
			return err
		}
		_, err = fmt.Fprintf(w, "got %s\n", line)
		return err
	}
}

// fakeListener returns what the test sends it: connections and errors.
type fakeListener struct {
	next chan any
	done chan struct{}
	once sync.Once
}

func newFakeListener() *fakeListener {
	return &fakeListener{next: make(chan any), done: make(chan struct{})}
}

func (l *fakeListener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "fake", Err: net.ErrClosed}
	case x := <-l.next:
		if err, ok := x.(error); ok {
			return nil, err
		}
		return x.(net.Conn), nil
	}
}

func (l *fakeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *fakeListener) Addr() net.Addr { return fakeAddr("fake:25") }

type fakeAddr string

func (a fakeAddr) Network() string { return "fake" }
func (a fakeAddr) String() string  { return string(a) }

// fakeConn is the server's end of a net.Pipe. It has an address, and remembers
// its deadlines.
type fakeConn struct {
	net.Conn
	peer fakeAddr

	mu            sync.Mutex
	reads, writes []time.Duration // deadlines from now on; -1: none
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.peer }

func fromNow(t time.Time) time.Duration {
	if t.IsZero() {
		return -1
	}
	return time.Until(t)
}

func (c *fakeConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads = append(c.reads, fromNow(t))
	return c.Conn.SetReadDeadline(t)
}

func (c *fakeConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes = append(c.writes, fromNow(t))
	return c.Conn.SetWriteDeadline(t)
}

// logged is a log that a test reads.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logged) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.buf.String(), func(r rune) bool { return r == '\n' })
}

// want fails unless exactly one line was logged, which holds all parts.
func (l *logged) want(t *testing.T, parts ...string) {
	t.Helper()
	lines := l.lines()
	if len(lines) != 1 {
		t.Fatalf("%d lines logged, want 1: %q", len(lines), lines)
	}
	for _, p := range parts {
		if !strings.Contains(lines[0], p) {
			t.Errorf("log line %q lacks %q", lines[0], p)
		}
	}
}

// bench is a server with one fake listener, in a synctest bubble.
type bench struct {
	t     *testing.T
	s     *Server
	l     *fakeListener
	log   *logged
	token chan struct{}
	ended chan error // of Serve
	conns int
}

func newBench(t *testing.T, opt Options) *bench {
	b := &bench{t: t, l: newFakeListener(), log: new(logged), token: make(chan struct{}), ended: make(chan error, 1)}
	opt.Log = slog.New(slog.NewTextHandler(b.log, nil))
	b.s = New("fake", lines(b.token), opt)
	go func() { b.ended <- b.s.Serve(b.l) }()
	return b
}

// connect has a client connect.
func (b *bench) connect() (net.Conn, *fakeConn) {
	client, served := net.Pipe()
	b.conns++
	c := &fakeConn{Conn: served, peer: fakeAddr(fmt.Sprintf("peer-%d", b.conns))}
	b.l.next <- c
	return client, c
}

// end drains the server and fails if that takes longer than it waits for those who
// have just connected, or goes wrong.
func (b *bench) end() {
	b.t.Helper()
	start := time.Now()
	if err := b.s.Shutdown(context.Background()); err != nil {
		b.t.Error("shutdown:", err)
	}
	if took := time.Since(start); took > courtesy {
		b.t.Errorf("shutdown took %v", took)
	}
	if err := <-b.ended; err != nil {
		b.t.Error("serve:", err)
	}
}

// say writes to a connection.
func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatalf("say %q: %v", text, err)
	}
}

// hear reads as many octets as want has, and compares.
func hear(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("heard %q, %v, want %q", got[:n], err, want)
	}
}

// hearEnd fails unless the connection ends without another octet.
func hearEnd(t *testing.T, c net.Conn) {
	t.Helper()
	if rest, err := io.ReadAll(c); len(rest) > 0 || err != nil {
		t.Fatalf("heard %q, %v, want the end", rest, err)
	}
}
