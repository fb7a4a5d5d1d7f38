package attach

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// site is a whole installation: one real Postfix at the front, three real mail
// hosts behind it, and the daemon, attached by the very commands that
// `postwhere postfix` prints.
type site struct {
	hosts  map[string]*realhost.Host
	daemon *daemon.Daemon
	front  *realhost.Server
	events *testbed.Recorder
	text   string // of the configuration
}

// users of example.com, and where they live.
var users = map[string]string{"anna": "mail1", "bert": "mail2", "carla": "mail3", "dora": "mail3", "eva": "mail3"}

// newSite starts a site that is attached in one way.
func newSite(t *testing.T, way Way, frontOptions ...string) *site {
	t.Helper()
	return newSiteWith(t, way, "", frontOptions...)
}

// newSiteWith starts one with more in the configuration.
func newSiteWith(t *testing.T, way Way, more string, frontOptions ...string) *site {
	t.Helper()
	s := newUnattachedSite(t, more, frontOptions...)
	s.attach(t, way)
	// An smtpd from before the reload may take one connection more.
	s.front.Stop(t)
	s.front.Start(t)
	return s
}

// newUnattachedSite starts one that is not attached yet.
func newUnattachedSite(t *testing.T, more string, frontOptions ...string) *site {
	t.Helper()
	realhost.Need(t, "postfix")
	s := &site{hosts: make(map[string]*realhost.Host)}
	mailer := "smtp"
	if strings.Contains(more, "transport = \"moving\"") {
		mailer = "moving" // routes are given here, for the hosts' ports
	}
	text := more + `
[listen]
policy    = ["inet:127.0.0.1:0"]
milter    = ["inet:127.0.0.1:0"]
socketmap = ["inet:127.0.0.1:0"]
control   = []

[search]
deadline = "10s"

[cache]
unsure_expire = "100ms" # so that a test need not wait before it tries again

[[domain]]
name  = "example.com"
hosts = ["mail1", "mail2", "mail3"]
`
	for _, name := range []string{"mail1", "mail2", "mail3"} {
		var mailboxes []string
		for user, host := range users {
			if host == name {
				mailboxes = append(mailboxes, user+"@example.com")
			}
		}
		h := realhost.MailHost(t, "example.com", mailboxes...)
		s.hosts[name] = h
		ip, port, _ := strings.Cut(h.Addr(), ":")
		text += fmt.Sprintf("\n[host.%s]\nprobe = \"smtp:inet:%s\"\nroute = \"%s:[%s]:%s\"\n", name, h.Addr(), mailer, ip, port)
	}
	s.daemon, s.events = startDaemon(t, text)
	s.front = realhost.Postfix(t, realhost.PostfixConfig{SMTP: []realhost.SMTPService{{Options: frontOptions}}})
	s.text = text
	return s
}

// attach runs what `postwhere postfix` prints, on the front's configuration.
func (s *site) attach(t *testing.T, way Way) {
	t.Helper()
	cfg := testbed.Parse(t, s.text)
	for face, list := range map[string]*[]config.Listener{"policy": &cfg.Listen.Policy, "milter": &cfg.Listen.Milter, "socketmap": &cfg.Listen.Socketmap} {
		*list = []config.Listener{{Network: "tcp", Address: s.daemon.AddressOf(face)}}
	}
	lines, err := Commands(t.Context(), s.front.Dir()+"/etc", cfg, way)
	if err != nil {
		t.Fatal(err)
	}
	s.front.Run(t, "sh", "-ec", lines)
}

// arrives sends a message and sees it arrive in each recipient's mailbox on his
// host, and in no mailbox of his on another.
func (s *site) arrives(t *testing.T, subject string, rcpts ...string) {
	t.Helper()
	c := testbed.DialSMTP(t, s.front.Addr())
	c.Send(t, subject, rcpts...)
	s.isThere(t, subject, rcpts...)
}

func (s *site) isThere(t *testing.T, subject string, rcpts ...string) {
	t.Helper()
	for _, rcpt := range rcpts {
		user, _, _ := strings.Cut(rcpt, "@")
		for name, h := range s.hosts {
			if name == users[user] {
				h.WaitMessage(t, rcpt, subject)
			} else if m := h.Messages(t, rcpt); len(m) > 0 {
				t.Errorf("a message for %s is on %s", rcpt, name)
			}
		}
	}
}

// wantsSoon tries as a sender does, again and again while the reply is 4xx.
func (s *site) wantsSoon(t *testing.T, rcpt, want string) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 30*time.Second; {
		c := testbed.DialSMTP(t, s.front.Addr())
		c.Mail(t)
		got := c.Say(t, "RCPT TO:<"+rcpt+">")
		c.Cmd(t, "QUIT", "221")
		if strings.HasPrefix(got, want) {
			return
		}
		if !strings.HasPrefix(got, "4") {
			t.Fatalf("%s: got %q, want %s…", rcpt, got, want)
		}
	}
	t.Fatalf("%s: still 4xx", rcpt)
}

func TestPostfixAskingAtTheDoorByPolicy(t *testing.T) {
	t.Parallel()
	tourOfPostfix(t, newSite(t, ByPolicy))
}

func TestPostfixAskingAtTheDoorByMilter(t *testing.T) {
	t.Parallel()
	tourOfPostfix(t, newSite(t, ByMilter))
}

func TestPostfixAskingAtTheDoorByRecipientMap(t *testing.T) {
	t.Parallel()
	tourOfPostfix(t, newSite(t, ByRecipientMap))
}

func TestPostfixByTheTransportMapOnly(t *testing.T) {
	t.Parallel()
	// An smtpd remembers what the map said. One that serves a single session
	// shows what a client sees who comes back later.
	tourOfPostfix(t, newSite(t, ByMapOnly, "max_use=1"))
}

// tourOfPostfix goes through every verdict with mail.
func tourOfPostfix(t *testing.T, s *site) {
	s.arrives(t, "to one", "anna@example.com")
	s.arrives(t, "to two", "bert@example.com")
	s.arrives(t, "to three", "carla@example.com")
	s.arrives(t, "to all", "anna@example.com", "bert@example.com", "carla@example.com")
	testbed.DialSMTP(t, s.front.Addr()).Wants(t, "nobody@example.com", "550 5.1.1")

	s.hosts["mail3"].Stop(t)
	testbed.DialSMTP(t, s.front.Addr()).Wants(t, "nobody2@example.com", "4")
	testbed.DialSMTP(t, s.front.Addr()).Wants(t, "dora@example.com", "4")
	s.arrives(t, "while three is down", "anna@example.com", "bert@example.com")
	testbed.DialSMTP(t, s.front.Addr()).Send(t, "known and waiting", "carla@example.com")

	s.hosts["mail3"].Start(t)
	s.wantsSoon(t, "nobody2@example.com", "550 5.1.1")
	s.wantsSoon(t, "dora@example.com", "250")
	s.arrives(t, "found again", "dora@example.com")
	s.front.WaitLog(t, `to=<carla@example.com>.*status=deferred`)
	s.front.Run(t, "postqueue", "-f")
	s.isThere(t, "known and waiting", "carla@example.com")
}

// A message for recipients of mixed fate: each has his own.
func TestPostfixJudgesEachRecipientByItself(t *testing.T) {
	t.Parallel()
	s := newSite(t, ByPolicy)
	s.hosts["mail3"].Stop(t)
	c := testbed.DialSMTP(t, s.front.Addr())
	c.Mail(t)
	c.Rcpt(t, "anna@example.com", "250")
	c.Rcpt(t, "nobody@example.com", "4")
	c.Rcpt(t, "dora@example.com", "4")
	c.Rcpt(t, "bert@example.com", "250")
	c.Data(t, "the accepted two")
	s.isThere(t, "the accepted two", "anna@example.com", "bert@example.com")
}

// Each refusal is an error to the host: after ten on a connection Postfix waits
// 1 s before each reply, after twenty it hangs up.
func TestPostfixHostsAreNotWornOutByUnknownAddresses(t *testing.T) {
	t.Parallel()
	s := newSite(t, ByPolicy)
	const unknown = 1000
	verdicts := make(chan string, unknown)
	work := make(chan int)
	for range 16 {
		go func() {
			for i := range work {
				f, err := s.daemon.Search(t.Context(), policy.Request{Recipient: fmt.Sprintf("unknown%d@example.com", i), Face: "policy"})
				verdicts <- fmt.Sprintf("%s %d %v", f.Verdict, f.Reply.Code, err)
			}
		}()
	}
	go func() {
		for i := range unknown {
			work <- i
		}
		close(work)
	}()
	for range unknown {
		if v := <-verdicts; v != "reject 550 <nil>" {
			t.Errorf("an unknown address: %s", v)
		}
	}
	for name, h := range s.hosts {
		log := h.Log()
		if strings.Contains(log, "too many errors") || strings.Contains(log, "421 ") {
			t.Errorf("%s has had enough of us", name)
		}
		for _, m := range disconnects.FindAllStringSubmatch(log, -1) {
			accepted, _ := strconv.Atoi(m[2])
			if all, _ := strconv.Atoi(m[3]); all-accepted > 9 {
				t.Errorf("%s: %d refusals on one connection, the host slows down after 10: %s", name, all-accepted, m[0])
			}
		}
	}
}

// disconnects finds Postfix's summary of a session: verb, accepted, all.
var disconnects = regexp.MustCompile(`disconnect from .* (commands)=(\d+)/(\d+)`)
