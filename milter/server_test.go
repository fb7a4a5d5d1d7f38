package milter

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
	"postwhere/policy/server"
	"postwhere/policy/server/servertest"
)

// held is a core that answers when it is told to.
type held struct {
	asked   chan policy.Request
	release chan struct{}
}

func newHeld() *held { return &held{make(chan policy.Request, 100), make(chan struct{})} }

func (h *held) Search(ctx context.Context, r policy.Request) (policy.Finding, error) {
	h.asked <- r
	select {
	case <-h.release:
		return policy.Finding{Verdict: policy.Deliver}, nil
	case <-ctx.Done():
		return policy.Finding{Verdict: policy.Defer}, nil
	}
}

// draining is a server with a session that is idle and one that is asking.
func draining(t *testing.T, s Searcher) (srv *Server, idle, asking *mta, served chan error) {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv = New(s, Options{Options: server.Options{Log: slog.New(slog.DiscardHandler)}})
	served = make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	idle, asking = inMessage(t, l.Addr()), inMessage(t, l.Addr())
	asking.send(rcptOf("<anna@example.com>"))
	return srv, idle, asking, served
}

func TestDrain(t *testing.T) {
	h := newHeld()
	srv, idle, asking, served := draining(t, h)
	<-h.asked
	down := make(chan error, 1)
	go func() { down <- srv.Shutdown(t.Context()) }()
	idle.wants("") // closed, at once
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(h.release)
	asking.wants(goOn)
	asking.wants("")
	if err := <-down; err != nil {
		t.Error(err)
	}
	if c, err := net.Dial("tcp", asking.conn.RemoteAddr().String()); err == nil {
		c.Close()
		t.Error("it still listens")
	}
}

// What cannot be waited for is cut off, and the search's asker told.
func TestDrainThatIsCutShort(t *testing.T) {
	h := newHeld()
	srv, _, asking, _ := draining(t, h)
	<-h.asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got := asking.read(); got != "" && !strings.HasPrefix(got, "y450") {
		t.Errorf("told %q", got)
	}
}

func TestServerThatNeverServed(t *testing.T) {
	srv := New(&servertest.Searcher{}, Options{})
	if err := srv.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := srv.Serve(newQueue()); err != nil {
		t.Error(err)
	}
}

// Two hundred at once, each with its own recipients.
func TestTwoHundredSessionsAtOnce(t *testing.T) {
	h := newHeld()
	h.asked = make(chan policy.Request, 200)
	addr := startServer(t, "unix", h, Options{})
	var all []*mta
	for range 200 {
		m := inMessage(t, addr)
		m.send(rcptOf("<anna@example.com>"))
		all = append(all, m)
	}
	for range all {
		<-h.asked // all of them wait in the core together
	}
	close(h.release)
	var talking sync.WaitGroup
	for _, m := range all {
		talking.Go(func() {
			m.wants(goOn)
			for range 20 {
				m.send(rcptOf("<bert@example.com>"))
				<-h.asked
				m.wants(goOn)
			}
		})
	}
	talking.Wait()
}

// Those beyond the limit wait, and get in when others leave.
func TestConnectionLimit(t *testing.T) {
	var j journal
	addr := startServer(t, "tcp", &servertest.Searcher{}, Options{Options: server.Options{MaxConns: 2, Log: j.logger()}})
	one, two := inMessage(t, addr), inMessage(t, addr)
	waiting := dialMTA(t, addr)
	waiting.send(offer(6, allActions, allProtocol))
	j.wait(t, "connection limit reached")
	two.send(rcptOf("<nobody@example.com>"))
	two.wants(rejectSays)
	one.send(frame('Q', ""))
	one.wants("")
	if got := waiting.read(); !strings.HasPrefix(got, "O") {
		t.Errorf("reply %q", got)
	}
}

// Ten thousand sessions, of which some leave without a word, leave nothing behind.
func TestNothingIsLeftOfTenThousandSessions(t *testing.T) {
	sessions := 10_000
	if testing.Short() {
		sessions = 500
	}
	addr := startServer(t, "unix", &servertest.Searcher{}, Options{})
	talk := func(i int) {
		c, err := net.Dial(addr.Network(), addr.String())
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		m := &mta{t, c}
		m.negotiate(6, allActions, allProtocol)
		m.send(frame('C', outside), frame('H', "x\x00"), frame('M', "<>\x00"), rcptOf("<nobody@example.com>"))
		m.wants(rejectSays)
		switch i % 4 {
		case 0:
			m.send(frame('Q', ""))
			m.wants("")
		case 1:
			m.send(frame('R', "no NUL"))
			m.wants("")
		case 2:
			m.send("\x00\x00")
		}
	}
	talk(0) // whatever is made once
	settled := func() (goroutines, files int) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("no /proc here")
		}
		return runtime.NumGoroutine(), len(open)
	}
	goroutines, files := settled()
	var talking sync.WaitGroup
	for w := range 20 {
		talking.Go(func() {
			for i := w; i < sessions; i += 20 {
				talk(i)
			}
		})
	}
	talking.Wait()
	for end := time.Now().Add(testPatience); ; time.Sleep(time.Millisecond) {
		g, f := settled()
		if g <= goroutines && f <= files {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines and %d files, before %d and %d", g, f, goroutines, files)
		}
	}
}
