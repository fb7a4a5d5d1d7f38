// Package testbed has what the tests of the program stand on: mail hosts that answer as
// a test says, an SMTP client, the other end of systemd and of the faces, and a record of
// what a daemon decided and logged. It is for tests alone.
package testbed

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// Host is a mail host that answers as a test says. Postwhere's nonsense addresses are
// refused in any case but by one that takes everything.
type Host struct {
	Address  string // HOST:PORT
	listener net.Listener
	server   *smtp.Server
	serving  sync.WaitGroup

	mu    sync.Mutex
	rcpts []string // asked about, but for nonsense
}

// ErrNobody is how a host refuses an unknown mailbox.
var ErrNobody = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox here"}

// IsNonsense tells whether an address is one that postwhere calibrates a host with.
func IsNonsense(to string) bool { return strings.HasPrefix(to, "postwhere") }

// Ways are how a host answers.
type Ways struct {
	Mail error                 // what it says to MAIL FROM: nil for yes
	Rcpt func(to string) error // what it says to an address
	TLS  *tls.Config           // offered; nil: none is
}

// NewHost starts a host on a free port. rcpt returns what it says to an address: nil for
// yes.
func NewHost(rcpt func(to string) error) (*Host, error) { return newHost(Ways{Rcpt: rcpt}) }

func newHost(ways Ways) (*Host, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &Host{Address: l.Addr().String(), listener: l}
	h.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &oddSession{Session: nil, host: h, ways: ways}, nil
	}))
	h.server.Domain, h.server.ReadTimeout, h.server.ErrorLog = "odd.example", time.Minute, silent{}
	h.server.TLSConfig = ways.TLS
	h.serving.Go(func() { _ = h.server.Serve(l) })
	return h, nil
}

// StartHost is NewHost until the test ends.
func StartHost(t *testing.T, rcpt func(to string) error) *Host {
	t.Helper()
	return StartHostOf(t, Ways{Rcpt: rcpt})
}

// StartHostOf starts a host of these ways, until the test ends.
func StartHostOf(t *testing.T, ways Ways) *Host {
	t.Helper()
	h, err := newHost(ways)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Stop)
	return h
}

// Stop ends it, and its connections.
func (h *Host) Stop() {
	_ = h.listener.Close() // which the server may not know yet
	_ = h.server.Close()
	h.serving.Wait()
}

// Asked returns the recipients that it was asked about.
func (h *Host) Asked() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.rcpts...)
}

type oddSession struct {
	smtp.Session
	host *Host
	ways Ways
}

func (s *oddSession) Mail(string, *smtp.MailOptions) error { return s.ways.Mail }
func (s *oddSession) Reset()                               {}
func (s *oddSession) Logout() error                        { return nil }

func (s *oddSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !IsNonsense(to) {
		s.host.mu.Lock()
		s.host.rcpts = append(s.host.rcpts, to)
		s.host.mu.Unlock()
	}
	return s.ways.Rcpt(to)
}

// Having returns a host's ways that has these mailboxes.
func Having(mailboxes ...string) func(string) error {
	return func(to string) error {
		for _, m := range mailboxes {
			if m == to {
				return nil
			}
		}
		return ErrNobody
	}
}

// silent drops what the server library would log.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// SiteText is a configuration of example.com on hosts of these addresses: mail1,
// mail2 and so on.
func SiteText(hosts ...*Host) string {
	names, tables := make([]string, len(hosts)), ""
	for i, h := range hosts {
		names[i] = fmt.Sprintf("%q", fmt.Sprintf("mail%d", i+1))
		tables += fmt.Sprintf("[host.mail%d]\nprobe = %q\n", i+1, h.Address)
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

// ListenText is a configuration with these lines in [listen].
func ListenText(mail1 *Host, lines string) string {
	return "[listen]\nmilter = []\nsocketmap = []\ncontrol = []\n" + lines +
		"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = \"" + mail1.Address + "\"\n"
}
