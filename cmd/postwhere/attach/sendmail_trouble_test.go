package attach

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
)

// While the daemon is away nobody is refused and nothing bounces, and as soon as it
// is back all goes on.
func TestSendmailWhileTheDaemonIsAway(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		open := testbed.DialSMTP(t, s.front.Addr())
		open.Mail(t)
		open.Rcpt(t, "anna@example.com", "250")
		s.hosts["mail1"].Stop(t)
		testbed.DialSMTP(t, s.front.Addr()).Send(t, "waiting", "anna@example.com")
		s.front.WaitLog(t, `to=<anna@example.com>.*stat=Deferred`)

		text := s.text
		for _, face := range []string{"milter", "socketmap"} {
			at := s.daemon.AddressOf(face)
			text = strings.Replace(text, fmt.Sprintf("%-9s = [\"inet:127.0.0.1:0\"]", face), fmt.Sprintf("%s = [\"inet:%s\"]", face, at), 1)
		}
		killed, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.daemon.Shutdown(killed)

		if got := open.Say(t, "RCPT TO:<bert@example.com>"); !strings.HasPrefix(got, "4") {
			t.Errorf("in an open session: %s", got)
		}
		c := testbed.DialSMTP(t, s.front.Addr())
		for _, line := range []string{"MAIL FROM:<sender@elsewhere.example>", "RCPT TO:<anna@example.com>", "RCPT TO:<nobody@example.com>"} {
			if got := c.Say(t, line); strings.HasPrefix(got, "5") && !strings.HasPrefix(got, "503") {
				t.Errorf("%s: %s", line, got)
			}
		}
		s.hosts["mail1"].Start(t)
		s.sendmail.RunQueue(t)
		if q := s.sendmail.Queue(t); !strings.Contains(q, "<anna@example.com>") {
			t.Errorf("the message has left the queue:\n%s", q)
		}

		s.daemon, s.events = startDaemon(t, text)
		s.wantsSoon(t, "nobody@example.com", "550 5.1.1")
		s.arrives(t, "back again", "bert@example.com")
		s.sendmail.RunQueue(t)
		s.isThere(t, "waiting", "anna@example.com")
		s.queueIsEmpty(t)
	})
}

// Who is let in at the door though the hosts do not know him is not judged by the
// map: he is queued, and told by a bounce. Mail to somebody unsure waits.
func TestSendmailQueuesWhoIsLetIn(t *testing.T) {
	t.Parallel()
	s := newSendmailSite(t, false, `
[bypass]
networks = ["127.0.0.2"]
[[domain]]
name  = "example.com"
hosts = ["mail1", "mail2", "mail3"]
unsure = "pass"
`)
	c := dialFrom(t, "127.0.0.2", s.front.Addr())
	c.Cmd(t, "MAIL FROM:<anna@example.com>", "250")
	c.Rcpt(t, "nobody@example.com", "250 2.1.5 <nobody@example.com>... Recipient ok (will queue)")
	c.Rcpt(t, "carla@example.com", "250 2.1.5 <carla@example.com>... Recipient ok")
	c.Data(t, "by one who may")
	s.isThere(t, "by one who may", "carla@example.com")
	s.sendmail.RunQueue(t)
	bounce := s.hosts["mail1"].WaitMessage(t, "anna@example.com", "550 5.1.1 <nobody@example.com>... User unknown")
	if !strings.Contains(bounce, "Action: failed") {
		t.Errorf("bounce:\n%s", bounce)
	}

	s.hosts["mail3"].Stop(t)
	testbed.DialSMTP(t, s.front.Addr()).Send(t, "let in unsure", "eva@example.com")
	s.sendmail.RunQueue(t)
	if q := s.sendmail.Queue(t); !strings.Contains(q, "<eva@example.com>") {
		t.Errorf("the message has left the queue:\n%s", q)
	}
	s.hosts["mail3"].Start(t)
	if !realhost.Eventually(func() bool {
		s.sendmail.RunQueue(t)
		return len(s.hosts["mail3"].Messages(t, "eva@example.com")) > 0
	}) {
		t.Errorf("not delivered:\n%s", s.sendmail.Queue(t))
	}
}

// A long address, and the longest text of a rejection, have room in Sendmail's
// buffers.
func TestSendmailLongTexts(t *testing.T) {
	t.Parallel()
	text := strings.Repeat(`Nobody "here" 100% (of that name `, 12)
	bothWays(t, fmt.Sprintf("[reply]\nreject = '550 5.1.1 %s'\n", text), func(t *testing.T, s *sendmailSite) {
		long := strings.Repeat("x", 64)
		for len(long) < 180 {
			long += "y"
		}
		for _, rcpt := range []string{"nobody@example.com", long + "@example.com"} {
			c := testbed.DialSMTP(t, s.front.Addr())
			c.Mail(t)
			got := c.Say(t, "RCPT TO:<"+rcpt+">")
			if !strings.HasPrefix(got, "550 5.1.1 ") || !strings.Contains(got, "100% (of that name") {
				t.Errorf("got %q", got)
			}
		}
	})
}

// silentHost is a host of a domain that takes connections, and says nothing.
func silentHost(t *testing.T) (more string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes them
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return fmt.Sprintf("[search]\ndeadline = \"5s\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\", \"mail3\", \"mail4\"]\n"+
		"[host.mail4]\nprobe = \"smtp:inet:%s\"\n", l.Addr())
}

// A host that says nothing makes Sendmail wait, and no more: its client gets 4xx for
// that recipient, and the session goes on.
func TestSendmailWaitsForASilentHost(t *testing.T) {
	t.Parallel()
	bothWays(t, silentHost(t), func(t *testing.T, s *sendmailSite) {
		c := testbed.DialSMTP(t, s.front.Addr())
		c.Mail(t)
		c.Rcpt(t, "nobody@example.com", "450 4.4.1")
		c.Rcpt(t, "anna@example.com", "250 2.1.5")
		c.Data(t, "in the same session")
		s.isThere(t, "in the same session", "anna@example.com")
	})
}

// The milter without the map has to search itself while Sendmail waits, which takes
// no sign of life for a reply.
func TestSendmailWaitsForTheMilterAlone(t *testing.T) {
	t.Parallel()
	s := newSendmailSite(t, false, silentHost(t))
	alone, _, _ := strings.Cut(s.lines(t, false), "MAILER_DEFINITIONS")
	front := realhost.SendmailConfig{End: alone}.Front(t)
	c := testbed.DialSMTP(t, front.Addr())
	c.Mail(t)
	c.Rcpt(t, "nobody@example.com", "450 4.4.1")
	c.Rcpt(t, "anna@example.com", "250 2.1.5")
}

// A route to a port that Sendmail has no mailer for, since sendmail.cf was not made
// anew: to Sendmail that is a fault in its own configuration, and 554.
func TestSendmailDoesNotRefuseForAnUnknownMailer(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		lines := strings.ReplaceAll(s.lines(t, strings.Contains(t.Name(), "map_only")), " esmtp", " esmtp9")
		front := realhost.SendmailConfig{End: lines}.Front(t)
		c := testbed.DialSMTP(t, front.Addr())
		c.Mail(t)
		c.Rcpt(t, "anna@example.com", "450 4.3.5")
		c.Rcpt(t, "nobody@example.com", "550 5.1.1")
	})
}
