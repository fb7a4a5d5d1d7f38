package realhost

import (
	"fmt"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
)

// session is an SMTP session of a client that says nothing by itself.
type session struct{ *textproto.Conn }

func dial(t *testing.T, addr string) session {
	t.Helper()
	conn, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := session{conn}
	s.read(t, 220)
	return s
}

// ask sends a command and fails the test unless the reply has the code.
func (s session) ask(t *testing.T, wantCode int, format string, args ...any) {
	t.Helper()
	if err := s.PrintfLine(format, args...); err != nil {
		t.Fatal(err)
	}
	s.read(t, wantCode)
}

func (s session) read(t *testing.T, wantCode int) {
	t.Helper()
	code, text, err := s.ReadResponse(0)
	if err != nil && code == 0 {
		t.Fatal(err)
	}
	if code != wantCode {
		t.Errorf("reply %d %s, want %d", code, text, wantCode)
	}
}

func send(t *testing.T, addr, to, text string) {
	t.Helper()
	message := fmt.Sprintf("From: <sender@example.test>\r\nSubject: test\r\n\r\n%s\r\n", text)
	if err := smtp.SendMail(addr, nil, "sender@example.test", []string{to}, []byte(message)); err != nil {
		t.Fatal(err)
	}
}

func TestMailHostVerifies(t *testing.T) {
	t.Parallel()
	h := MailHost(t, "one.test two.test", "anna@one.test", "bert@two.test", `"carl c"@one.test`)
	s := dial(t, h.Addr())
	s.ask(t, 250, "EHLO client.test")
	for _, tt := range []struct {
		address string
		code    int
	}{
		{"anna@one.test", 252},
		{"Anna@ONE.test", 252},
		{"bert@two.test", 252},
		{`"carl c"@one.test`, 252},
		{"anna@two.test", 550},
		{"nobody@one.test", 550},
		{"anna@three.test", 454}, // relay access denied: the client is not in mynetworks
	} {
		s.ask(t, tt.code, "VRFY %s", tt.address)
	}
	s.ask(t, 250, "MAIL FROM:<>")
	s.ask(t, 250, "RCPT TO:<anna@one.test>")
	s.ask(t, 550, "RCPT TO:<nobody@one.test>")
}

func TestMailHostDelivers(t *testing.T) {
	t.Parallel()
	h := MailHost(t, "one.test", "anna@one.test", "Bert/../x@one.test", `"carl c"@one.test`)
	if got := h.Messages(t, "anna@one.test"); got != nil {
		t.Errorf("a new mailbox has %q", got)
	}
	for _, to := range []string{"anna@one.test", "bert/../x@one.test", `"carl c"@one.test`} {
		for i := range 3 {
			text := fmt.Sprintf("message %d", i)
			send(t, h.Addr(), to, text)
			message := h.WaitMessage(t, to, text)
			if want := "From: <sender@example.test>\n"; !strings.Contains(message, want) {
				t.Errorf("message without %q:\n%s", want, message)
			}
		}
		messages := h.Messages(t, to)
		if len(messages) != 3 {
			t.Errorf("%s has %d messages, want 3: %q", to, len(messages), messages)
		}
		for i, message := range messages {
			if !strings.HasSuffix(message, fmt.Sprintf("\nmessage %d\n", i)) {
				t.Errorf("message %d is %q", i, message)
			}
		}
	}
	match := h.WaitLog(t, `postfix/virtual\[\d+\]: .* to=<anna@one\.test>, .* status=(\w+)`)
	if match[1] != "sent" {
		t.Errorf("the log says %q", match)
	}
}

func TestMailHostStopsAndStarts(t *testing.T) {
	t.Parallel()
	h := MailHost(t, "one.test", "anna@one.test")
	addr := h.Addr()
	open := dial(t, addr)
	for range 3 {
		h.Stop(t)
		h.Stop(t) // does nothing
		if err := greeting(addr); err == nil {
			t.Error("a stopped host greets")
		}
		h.Start(t)
		if h.Addr() != addr {
			t.Errorf("address %s after the start, was %s", h.Addr(), addr)
		}
		dial(t, addr).ask(t, 252, "VRFY anna@one.test")
	}
	if _, err := open.ReadLine(); err == nil {
		t.Error("a session lived on over Stop")
	}
	send(t, addr, "anna@one.test", "hello")
	h.WaitMessage(t, "anna@one.test", "hello")
}

func TestMailboxesChange(t *testing.T) {
	t.Parallel()
	h := MailHost(t, "one.test", "anna@one.test")
	open := dial(t, h.Addr())
	for range 5 {
		open.ask(t, 550, "VRFY bert@one.test")
		h.AddMailbox(t, "Bert@one.test")
		dial(t, h.Addr()).ask(t, 252, "VRFY bert@one.test")
		send(t, h.Addr(), "bert@one.test", "hello")
		// What the comment at AddMailbox says of open sessions.
		open.ask(t, 550, "VRFY bert@one.test")
		h.RemoveMailbox(t, "bert@one.test")
		dial(t, h.Addr()).ask(t, 550, "VRFY bert@one.test")
		open = dial(t, h.Addr())
	}
	dial(t, h.Addr()).ask(t, 252, "VRFY anna@one.test")
}

// A mail that a host took before the mailbox went is not lost in silence, and
// the one before it can still be read.
func TestMessagesOutliveTheMailbox(t *testing.T) {
	t.Parallel()
	h := MailHost(t, "one.test", "anna@one.test")
	send(t, h.Addr(), "anna@one.test", "hello")
	h.WaitMessage(t, "anna@one.test", "hello")
	h.RemoveMailbox(t, "anna@one.test")
	if got := h.Messages(t, "anna@one.test"); len(got) != 1 {
		t.Errorf("messages %q, want one", got)
	}
}

func TestMailHostConfig(t *testing.T) {
	t.Parallel()
	cfg := PostfixConfig{
		Main: map[string]string{"disable_vrfy_command": "yes"},
		SMTP: []SMTPService{{}, {Options: []string{"disable_vrfy_command=no", "soft_bounce=yes"}}},
	}
	h := cfg.MailHost(t, "one.test", "anna@one.test")
	dial(t, h.Addrs()[0]).ask(t, 502, "VRFY anna@one.test")
	dial(t, h.Addrs()[1]).ask(t, 450, "VRFY nobody@one.test")
	if cfg.Main["virtual_mailbox_domains"] != "" || cfg.SMTP[0].Options != nil || cfg.Files != nil {
		t.Errorf("the caller's configuration was changed: %v", cfg)
	}
}

func TestManyMailHosts(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			address := fmt.Sprintf("user%d@one.test", i)
			h := MailHost(t, "one.test", address)
			s := dial(t, h.Addr())
			s.ask(t, 252, "VRFY %s", address)
			s.ask(t, 550, "VRFY user%d@one.test", i+1)
			send(t, h.Addr(), address, "hello")
			h.WaitMessage(t, address, "hello")
		})
	}
}
