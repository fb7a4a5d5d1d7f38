package attach

import (
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// sendmailSite is a site whose front is a real Sendmail, attached by the lines that
// `postwhere sendmail` prints. Its hosts are two Postfix and, as mail2, a Sendmail.
type sendmailSite struct {
	site
	sendmail *realhost.SendmailFront
	text     string // of the configuration
}

// sendmailUsers are more mailboxes of example.com, with where they live.
var sendmailUsers = map[string]string{
	`"a b"`: "mail1", "Anna+Lists": "mail3", `"x, (y)"`: "mail1", "o'neil": "mail3", `"q\"q"`: "mail1", "a=b/c": "mail3",
}

func newSendmailSite(t *testing.T, mapOnly bool, more string) *sendmailSite {
	t.Helper()
	realhost.Need(t, "postfix")
	s := &sendmailSite{site: site{hosts: make(map[string]*realhost.Host)}}
	s.text = more + `
[listen]
policy    = []
milter    = ["inet:127.0.0.1:0"]
socketmap = ["inet:127.0.0.1:0"]
control   = []

[cache]
unsure_expire = "100ms" # so that a test need not wait before it tries again
`
	if !strings.Contains(more, "[search]") {
		s.text += "\n[search]\ndeadline = \"10s\"\n"
	}
	if !strings.Contains(more, "[[domain]]") {
		s.text += "\n[[domain]]\nname  = \"example.com\"\nhosts = [\"mail1\", \"mail2\", \"mail3\"]\n"
	}
	for _, name := range []string{"mail1", "mail2", "mail3"} {
		var mailboxes []string
		for _, all := range []map[string]string{users, sendmailUsers} {
			for user, host := range all {
				if host == name {
					mailboxes = append(mailboxes, user+"@example.com")
				}
			}
		}
		var h *realhost.Host
		if name == "mail2" {
			h = realhost.Sendmail(t, realhost.SendmailConfig{Domains: "example.com", Mailboxes: mailboxes})
		} else {
			h = realhost.MailHost(t, "example.com", mailboxes...)
		}
		s.hosts[name] = h
		ip, port, _ := net.SplitHostPort(h.Addr())
		s.text += fmt.Sprintf("\n[host.%s]\nprobe = \"smtp:inet:%s\"\nroute = \"smtp:[%s]:%s\"\n", name, h.Addr(), ip, port)
	}
	s.daemon, s.events = startDaemon(t, s.text)
	s.sendmail = realhost.SendmailConfig{End: s.lines(t, mapOnly)}.Front(t)
	s.front = s.sendmail.Server
	return s
}

// lines returns what `postwhere sendmail` prints for the daemon.
func (s *sendmailSite) lines(t *testing.T, mapOnly bool) string {
	t.Helper()
	cfg := testbed.Parse(t, s.text)
	cfg.Listen.Milter = []config.Listener{{Network: "tcp", Address: s.daemon.AddressOf("milter")}}
	cfg.Listen.Socketmap = []config.Listener{{Network: "tcp", Address: s.daemon.AddressOf("socketmap")}}
	lines, err := SendmailLines(cfg, mapOnly)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// bothWays runs a test of a site that is attached in each of the ways.
func bothWays(t *testing.T, more string, test func(*testing.T, *sendmailSite)) {
	t.Helper()
	for name, mapOnly := range map[string]bool{"milter": false, "map only": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newSendmailSite(t, mapOnly, more))
		})
	}
}

// Every verdict, with mail.
func TestSendmailTour(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		s.arrives(t, "to one", "anna@example.com")
		s.arrives(t, "to two", "bert@example.com")
		s.arrives(t, "to three", "carla@example.com")
		s.arrives(t, "to all", "anna@example.com", "bert@example.com", "carla@example.com")
		testbed.DialSMTP(t, s.front.Addr()).Wants(t, "nobody@example.com", "550 5.1.1")

		s.hosts["mail3"].Stop(t)
		testbed.DialSMTP(t, s.front.Addr()).Wants(t, "nobody2@example.com", "450 4.4.1")
		testbed.DialSMTP(t, s.front.Addr()).Wants(t, "dora@example.com", "450 4.4.1")
		s.arrives(t, "while three is down", "anna@example.com", "bert@example.com")
		testbed.DialSMTP(t, s.front.Addr()).Send(t, "known and waiting", "carla@example.com")

		s.front.WaitLog(t, `to=<carla@example.com>.*stat=Deferred`)
		s.hosts["mail3"].Start(t)
		s.wantsSoon(t, "nobody2@example.com", "550 5.1.1")
		s.wantsSoon(t, "dora@example.com", "250")
		s.arrives(t, "found again", "dora@example.com")
		s.sendmail.RunQueue(t)
		s.isThere(t, "known and waiting", "carla@example.com")
		s.queueIsEmpty(t)
	})
}

// queueIsEmpty waits until it is: a message leaves it when the host has it already.
func (s *sendmailSite) queueIsEmpty(t *testing.T) {
	t.Helper()
	if !realhost.Eventually(func() bool { return strings.Contains(s.sendmail.Queue(t), "Total requests: 0") }) {
		t.Errorf("the queue has\n%s", s.sendmail.Queue(t))
	}
}

// A message for recipients of mixed fate: each has his own, and who was refused is
// not in the queue.
func TestSendmailJudgesEachRecipientByItself(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		s.hosts["mail3"].Stop(t)
		c := testbed.DialSMTP(t, s.front.Addr())
		c.Mail(t)
		c.Rcpt(t, "anna@example.com", "250")
		c.Rcpt(t, "nobody@example.com", "450")
		c.Rcpt(t, "dora@example.com", "450")
		c.Rcpt(t, "bert@example.com", "250")
		c.Data(t, "the accepted two")
		s.isThere(t, "the accepted two", "anna@example.com", "bert@example.com")
		s.queueIsEmpty(t)

		s.hosts["mail3"].Start(t)
		s.wantsSoon(t, "nobody@example.com", "550 5.1.1")
		c.Mail(t)
		for i := range 20 {
			c.Rcpt(t, fmt.Sprintf("nobody%d@example.com", i), "550 5.1.1")
			if i == 10 {
				c.Rcpt(t, "carla@example.com", "250")
			}
		}
		c.Data(t, "the accepted one")
		s.isThere(t, "the accepted one", "carla@example.com")
		s.queueIsEmpty(t)
	})
}

// Addresses come to the hosts as the client spelled them.
func TestSendmailSpellings(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		for user, host := range sendmailUsers {
			rcpt := user + "@example.com"
			testbed.DialSMTP(t, s.front.Addr()).Send(t, "to "+user, rcpt)
			s.hosts[host].WaitMessage(t, rcpt, "to "+user)
		}
		for _, rcpt := range []string{"ANNA@Example.COM", "anna@example.com."} {
			testbed.DialSMTP(t, s.front.Addr()).Send(t, "to "+rcpt, rcpt)
			s.hosts["mail1"].WaitMessage(t, "anna@example.com", "to "+rcpt)
		}
		for _, rcpt := range []string{`"no body"@example.com`, "Nobody+Ext@EXAMPLE.com"} {
			testbed.DialSMTP(t, s.front.Addr()).Wants(t, rcpt, "550 5.1.1")
		}
		var asked []string
		for _, e := range s.events.All() {
			asked = append(asked, e.Finding.Address.Local())
		}
		for _, local := range []string{"a b", "Anna+Lists", "x, (y)", "o'neil", `q"q`, "a=b/c", "ANNA", "no body", "Nobody+Ext"} {
			if !slices.Contains(asked, local) {
				t.Errorf("%s was not asked about, but %q", local, asked)
			}
		}
		s.queueIsEmpty(t)
	})
}

// Senders, and recipients elsewhere, are Sendmail's own affair.
func TestSendmailLeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		c := testbed.DialSMTP(t, s.front.Addr())
		c.Cmd(t, "MAIL FROM:<nobody@example.com>", "250 2.1.0")
		c.Rcpt(t, "someone@elsewhere.example", "250 2.1.5")
		c.Rcpt(t, "someone@sub.example.com", "250 2.1.5")
		c.Rcpt(t, "anna@example.com", "250 2.1.5")
		c.Cmd(t, "QUIT", "221")
		stranger := dialFrom(t, "127.0.0.2", s.front.Addr())
		stranger.Mail(t)
		stranger.Rcpt(t, "someone@elsewhere.example", "550 5.7.1 <someone@elsewhere.example>... Relaying denied")
		stranger.Rcpt(t, "anna@example.com", "250 2.1.5")
		stranger.Rcpt(t, "nobody@example.com", "550 5.1.1")
		for _, e := range s.events.All() {
			if e.Finding.Address.Domain() == "example.com" && e.Finding.Address.Local() == "nobody" && e.Request.Client == "127.0.0.1" {
				t.Errorf("a sender was asked about: %+v", e.Request)
			}
		}
	})
}

// dialFrom begins a session from another address of this machine.
func dialFrom(t *testing.T, ip, addr string) *testbed.Client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &testbed.Client{Conn: textproto.NewConn(conn)}
	t.Cleanup(func() { _ = conn.Close() })
	if _, _, err := c.Conn.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	c.Cmd(t, "EHLO client.test", "250")
	return c
}

// A peer's probe is passed by the milter, and the map is not to judge it either.
func TestSendmailPassesAProbe(t *testing.T) {
	t.Parallel()
	s := newSendmailSite(t, false, "")
	c := testbed.DialSMTP(t, s.front.Addr())
	c.Cmd(t, "EHLO "+policy.ProbeHelo("0123abcd", "peer.example"), "250")
	c.Cmd(t, "MAIL FROM:<>", "250")
	c.Rcpt(t, "nobody@example.com", "250 2.1.5")
	c.Cmd(t, "QUIT", "221")
	passed := func(e testbed.Event) bool { return e.Request.Face == "milter" && e.Finding.Verdict == policy.Pass }
	if !slices.ContainsFunc(s.events.All(), passed) {
		t.Errorf("no recipient was passed by the milter: %+v", s.events.All())
	}
}

// What the milter is told by Sendmail.
func TestSendmailTellsTheMilter(t *testing.T) {
	t.Parallel()
	s := newSendmailSite(t, false, "")
	c := dialFrom(t, "127.0.0.2", s.front.Addr())
	c.Cmd(t, "MAIL FROM:<Sender@elsewhere.example>", "250")
	c.Rcpt(t, `"a b"@Example.com`, "250")
	c.Rcpt(t, "nobody@example.com", "550 5.1.1")
	for _, e := range s.events.All() {
		if e.Request.Face != "milter" {
			continue
		}
		r := e.Request
		if r.Client != "127.0.0.2" || r.Helo != "client.test" || r.Sender != "Sender@elsewhere.example" || len(r.QueueID) < 10 {
			t.Errorf("asked %+v", r)
		}
	}
}

// The header that tells who owns the recipients, from Sendmail too.
func TestSendmailTraceHeader(t *testing.T) {
	t.Parallel()
	s := newSendmailSite(t, false, "[milter]\ntrace_header = \"X-Owner\"\n")
	s.arrives(t, "traced", "anna@example.com")
	if m := s.hosts["mail1"].WaitMessage(t, "anna@example.com", "traced"); !strings.Contains(m, "\nX-Owner: ") {
		t.Errorf("no header in\n%s", m)
	}
}

func TestSendmailOverUnixSockets(t *testing.T) {
	t.Parallel()
	bothWays(t, "", func(t *testing.T, s *sendmailSite) {
		dir := s.hosts["mail1"].Dir()
		text := strings.ReplaceAll(s.text, "inet:127.0.0.1:0", "unix:"+dir+"/socket")
		text = strings.Replace(text, `milter    = ["unix:`+dir+"/socket", `milter    = ["unix:`+dir+"/milter", 1)
		startDaemon(t, text)
		lines, err := SendmailLines(testbed.Parse(t, text), strings.Contains(t.Name(), "map_only"))
		if err != nil {
			t.Fatal(err)
		}
		s.front = realhost.SendmailConfig{End: lines}.Front(t).Server
		s.arrives(t, "over sockets", "anna@example.com", "bert@example.com")
		testbed.DialSMTP(t, s.front.Addr()).Wants(t, "nobody@example.com", "550 5.1.1")
	})
}
