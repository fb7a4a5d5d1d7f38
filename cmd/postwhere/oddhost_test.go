package main

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// oddHost is a mail host that answers RCPT TO as a test says. Postwhere's
// nonsense addresses are refused in any case but by one that takes everything.
type oddHost struct {
	address  string
	listener net.Listener
	server   *smtp.Server
	serving  sync.WaitGroup

	mu    sync.Mutex
	rcpts []string // asked about, but for nonsense
}

// errNobody is how a host refuses an unknown mailbox.
var errNobody = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox here"}

func isNonsense(to string) bool { return strings.HasPrefix(to, "postwhere") }

func newOddHost(rcpt func(to string) error) (*oddHost, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &oddHost{address: l.Addr().String(), listener: l}
	h.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &oddSession{Session: nil, host: h, rcpt: rcpt}, nil
	}))
	h.server.Domain, h.server.ReadTimeout, h.server.ErrorLog = "odd.example", time.Minute, silent{}
	h.serving.Go(func() { _ = h.server.Serve(l) })
	return h, nil
}

// startOddHost is newOddHost until the test ends.
func startOddHost(t *testing.T, rcpt func(to string) error) *oddHost {
	t.Helper()
	h, err := newOddHost(rcpt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.stop)
	return h
}

func (h *oddHost) stop() {
	_ = h.listener.Close() // which the server may not know yet
	_ = h.server.Close()
	h.serving.Wait()
}

// asked returns the recipients that it was asked about.
func (h *oddHost) asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.rcpts...)
}

type oddSession struct {
	smtp.Session
	host *oddHost
	rcpt func(string) error
}

func (s *oddSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *oddSession) Reset()                               {}
func (s *oddSession) Logout() error                        { return nil }

func (s *oddSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !isNonsense(to) {
		s.host.mu.Lock()
		s.host.rcpts = append(s.host.rcpts, to)
		s.host.mu.Unlock()
	}
	return s.rcpt(to)
}

// having returns a host's ways that has these mailboxes.
func having(mailboxes ...string) func(string) error {
	return func(to string) error {
		for _, m := range mailboxes {
			if m == to {
				return nil
			}
		}
		return errNobody
	}
}

// silent drops what the server library would log.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// gate holds up questions until it is opened.
type gate struct {
	reached chan string // takes each question that comes to the gate
	open    chan struct{}
	once    sync.Once
}

func newGate() *gate { return &gate{reached: make(chan string, 1000), open: make(chan struct{})} }

func (g *gate) pass() { g.once.Do(func() { close(g.open) }) }

// before lets no question through but nonsense until the gate is open.
func (g *gate) before(rcpt func(string) error) func(string) error {
	return func(to string) error {
		if !isNonsense(to) {
			g.reached <- to
			<-g.open
		}
		return rcpt(to)
	}
}
