// Package demo is the demonstration: a tour of every verdict, with the daemon itself, and
// with mail hosts that are small, in this process, and real enough to take mail.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// MailHost is a mail host with a few mailboxes. It says 252 to every VRFY, as
// many hosts do, so it is asked by RCPT TO. Its methods may be called
// concurrently.
type MailHost struct {
	Name string

	mu        sync.Mutex
	mailboxes map[string]int // address in lower case -> messages that arrived
	server    *smtp.Server
	listener  net.Listener
	address   string
	serving   sync.WaitGroup
}

// NewMailHost starts a mail host on a free port of the loopback interface.
func NewMailHost(name string, mailboxes ...string) (*MailHost, error) {
	h := &MailHost{Name: name, mailboxes: make(map[string]int), address: "127.0.0.1:0"}
	for _, m := range mailboxes {
		h.mailboxes[strings.ToLower(m)] = 0
	}
	if err := h.Start(); err != nil {
		return nil, err
	}
	return h, nil
}

// Address returns where it listens, host:port; it stays the same over Stop and
// Start.
func (h *MailHost) Address() string { return h.address }

// Start lets a stopped mail host listen again.
func (h *MailHost) Start() error {
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", h.address)
	if err != nil {
		return fmt.Errorf("mail host %s: %w", h.Name, err)
	}
	h.address = l.Addr().String()
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{host: h}, nil }))
	s.Domain = h.Name
	s.ReadTimeout, s.WriteTimeout = time.Minute, 10*time.Second
	s.MaxMessageBytes, s.MaxRecipients = 1<<20, 100
	s.ErrorLog = quiet{}
	h.server, h.listener = s, l
	h.serving.Go(func() { _ = s.Serve(l) })
	return nil
}

// Stop takes the host down as a failing machine goes: listener and connections
// are gone at once.
func (h *MailHost) Stop() {
	_ = h.listener.Close() // which the server does not know yet if it has only just been started
	_ = h.server.Close()
	h.serving.Wait()
}

// Messages returns how many messages have arrived for a mailbox.
func (h *MailHost) Messages(mailbox string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mailboxes[strings.ToLower(mailbox)]
}

func (h *MailHost) has(mailbox string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.mailboxes[strings.ToLower(mailbox)]
	return ok
}

func (h *MailHost) deliver(mailboxes []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range mailboxes {
		h.mailboxes[strings.ToLower(m)]++
	}
}

// session is one SMTP session.
type session struct {
	host  *MailHost
	rcpts []string
}

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !s.host.has(to) {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<" + to + ">: no such mailbox here"}
	}
	s.rcpts = append(s.rcpts, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return errors.New("message cut off")
	}
	s.host.deliver(s.rcpts)
	return nil
}

func (s *session) Reset() { s.rcpts = nil }

func (s *session) Logout() error { return nil }

// quiet drops what the server library would log: here, hosts fail on purpose.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}
