package main

import (
	"fmt"
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

// siteText is a configuration of example.com on hosts of these addresses: mail1,
// mail2 and so on.
func siteText(hosts ...*oddHost) string {
	names, tables := make([]string, len(hosts)), ""
	for i, h := range hosts {
		names[i] = fmt.Sprintf("%q", fmt.Sprintf("mail%d", i+1))
		tables += fmt.Sprintf("[host.mail%d]\nprobe = %q\n", i+1, h.address)
	}
	return fmt.Sprintf(`
[listen]
policy    = ["inet:127.0.0.1:0"]
milter    = ["inet:127.0.0.1:0"]
socketmap = ["inet:127.0.0.1:0"]
control   = []
[[domain]]
name  = "example.com"
hosts = [%s]
%s`, strings.Join(names, ", "), tables)
}

// listenText is a configuration with these lines in [listen].
func listenText(mail1 *oddHost, lines string) string {
	return "[listen]\nmilter = []\nsocketmap = []\ncontrol = []\n" + lines +
		"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = \"" + mail1.address + "\"\n"
}
