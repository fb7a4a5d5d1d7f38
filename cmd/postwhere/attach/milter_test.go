package attach

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/milter"
	"postwhere/policy"
	"postwhere/policy/server"
)

// An smtpd that shares its trivial-rewrite with the queue manager asks the map, too,
// and before the milter: that is one more no, and no one yes less.
func TestPostfixMilterBesideTheMap(t *testing.T) {
	t.Parallel()
	s := newSite(t, ByMilter, "max_use=1")
	s.front.Run(t, "sh", "-ec", "postconf -PX "+s.front.Addr()+"/inet/rewrite_service_name; postfix reload")
	tourOfPostfix(t, s)
}

// oneHost is a daemon whose only host has everybody whose name begins with yes, and
// cannot tell where it begins with later.
func oneHost(t *testing.T, more string) (*daemon.Daemon, *testbed.Recorder) {
	t.Helper()
	host := testbed.StartHost(t, func(to string) error {
		switch {
		case strings.HasPrefix(to, "yes"):
			return nil
		case strings.HasPrefix(to, "later"):
			return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "not now"}
		}
		return testbed.ErrNobody
	})
	return startDaemon(t, fmt.Sprintf(`
[listen]
policy    = ["inet:127.0.0.1:0"]
milter    = ["inet:127.0.0.1:0"]
socketmap = []
control   = []
[[domain]]
name  = "example.com"
hosts = ["mail1"]
[host.mail1]
probe = %q
`, host.Address)+more)
}

// A message to fifty recipients of mixed fate: each has his own.
func TestPostfixMilterJudgesFiftyRecipientsByThemselves(t *testing.T) {
	t.Parallel()
	d, _ := oneHost(t, "")
	front := testbed.Swallow(t, "smtpd_milters=inet:"+d.AddressOf("milter"))
	c := testbed.DialSMTP(t, front.Addr())
	c.Mail(t)
	var accepted []string
	for i := range 50 {
		kind := []string{"yes", "no", "later", "foreign", "yes"}[i%5]
		rcpt := fmt.Sprintf("%s%d@example.com", kind, i)
		if kind == "foreign" {
			rcpt = fmt.Sprintf("x%d@elsewhere.example", i)
		}
		c.Rcpt(t, rcpt, map[string]string{"yes": "250", "no": "550 5.1.1 User unknown", "later": "450 4.4.1 Mailbox", "foreign": "250"}[kind])
		if kind == "yes" || kind == "foreign" {
			accepted = append(accepted, rcpt)
		}
	}
	c.Data(t, "mixed fate")
	for _, rcpt := range accepted {
		front.WaitLog(t, `to=<`+rcpt+`>.*status=sent`)
	}
	front.WaitLog(t, `: removed`)
	if n := strings.Count(front.Log(), "status="); n != len(accepted) {
		t.Errorf("%d deliveries, want %d", n, len(accepted))
	}
}

// neighbour is another milter, which lets all in and notes what it is shown.
type neighbour struct {
	mu    sync.Mutex
	rcpts []string
}

func (n *neighbour) Search(_ context.Context, r policy.Request) (policy.Finding, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rcpts = append(n.rcpts, r.Recipient)
	return policy.Finding{Verdict: policy.Pass}, nil
}

func (n *neighbour) shown() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.rcpts)
}

// startNeighbour serves until the test ends, and returns where.
func startNeighbour(t *testing.T, n *neighbour) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := milter.New(n, milter.Options{Options: server.Options{Log: slog.New(slog.DiscardHandler)}})
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-served); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// Of two milters in a row the second sees all that the first lets in, in this
// message and the next.
func TestPostfixTwoMiltersInARow(t *testing.T) {
	t.Parallel()
	d, _ := oneHost(t, "")
	var before, after neighbour
	ours := "inet:" + d.AddressOf("milter")
	front := testbed.Swallow(t,
		"smtpd_milters="+ours+" inet:"+startNeighbour(t, &after),
		"smtpd_milters=inet:"+startNeighbour(t, &before)+" "+ours)
	for _, addr := range front.Addrs() {
		c := testbed.DialSMTP(t, addr)
		for range 2 {
			c.Mail(t)
			c.Rcpt(t, "yes1@example.com", "250")
			c.Rcpt(t, "nobody@example.com", "550 5.1.1")
			c.Rcpt(t, "yes2@example.com", "250")
			c.Data(t, "seen by two")
		}
		c.Cmd(t, "QUIT", "221")
	}
	if got, want := after.shown(), []string{"yes1@example.com", "yes2@example.com", "yes1@example.com", "yes2@example.com"}; !slices.Equal(got, want) {
		t.Errorf("the one behind us was shown %q, want %q", got, want)
	}
	if got := before.shown(); len(got) != 6 {
		t.Errorf("the one before us was shown %q", got)
	}
}

// An MTA may be told to speak an older protocol. It waits for more replies then, and
// for none longer than it can.
func TestPostfixMilterOlderProtocols(t *testing.T) {
	t.Parallel()
	d, _ := oneHost(t, "")
	at := d.AddressOf("milter")
	front := testbed.Swallow(t, "smtpd_milters={inet:"+at+", protocol=2}", "smtpd_milters={inet:"+at+", protocol=3}", "smtpd_milters={inet:"+at+", protocol=4}")
	for i, addr := range front.Addrs() {
		c := testbed.DialSMTP(t, addr)
		for range 2 {
			c.Mail(t)
			c.Rcpt(t, "yes@example.com", "250")
			c.Rcpt(t, "nobody@example.com", "550 5.1.1")
			c.Rcpt(t, `"No Body"@example.com`, "550 5.1.1")
			c.Rcpt(t, fmt.Sprintf("later%d@example.com", i), "450 4.4.1")
			c.Data(t, "an older protocol")
		}
	}
}

// Mail from inside cannot be refused recipient by recipient, and would be tried for
// ever: it is let through, though nobody should ask us about it.
func TestPostfixMailFromInsideIsNeverRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, ByMilter)
	s.front.Run(t, "sh", "-ec", `postconf -e 'non_smtpd_milters = $smtpd_milters'`)
	s.front.Stop(t)
	s.front.Start(t)
	s.hosts["mail3"].Stop(t) // so that some are unsure, too
	s.front.Run(t, "sh", "-ec", `printf 'Subject: from inside\n\nHello.\n' |
		sendmail -f root@elsewhere.example anna@example.com nobody@example.com bert@example.com`)
	s.isThere(t, "from inside", "anna@example.com", "bert@example.com")
	s.front.WaitLog(t, `to=<nobody@example.com>.*status=deferred`)
	if log := s.front.Log(); strings.Contains(log, "milter configuration error") || strings.Contains(log, "milter-reject") {
		t.Errorf("it was refused:\n%s", log)
	}
	for _, e := range s.events.All() {
		if e.Request.Face == "milter" {
			t.Errorf("it was judged: %+v", e.Request)
		}
	}
}

// A peer's probe is known by its EHLO name, and gets Postfix's own answer.
func TestPostfixMilterLetsProbesThrough(t *testing.T) {
	t.Parallel()
	s := newSite(t, ByMilter)
	c := testbed.DialSMTP(t, s.front.Addr())
	c.Mail(t)
	c.Rcpt(t, "nobody@example.com", "550 5.1.1")
	c.Cmd(t, "EHLO "+policy.ProbeHelo("0123abcd", "front2.example"), "250")
	c.Mail(t)
	c.Rcpt(t, "nobody@example.com", "250")
	c.Cmd(t, "EHLO client.test", "250")
	c.Mail(t)
	c.Rcpt(t, "nobody@example.com", "550 5.1.1")
}

func TestPostfixTraceHeader(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, ByMilter, "[milter]\ntrace_header = \"X-Postwhere\"\n")
	c := testbed.DialSMTP(t, s.front.Addr())
	for range 2 { // a message has nothing of the one before
		c.Mail(t)
		c.Rcpt(t, "anna@example.com", "250")
		c.Rcpt(t, "nobody@example.com", "550 5.1.1")
		c.Rcpt(t, "bert@example.com", "250")
		c.Cmd(t, "DATA", "354")
		c.Cmd(t, "X-Postwhere: forged\r\nSubject: traced\r\n\r\nHello.\r\n.", "250")
	}
	for _, rcpt := range []string{"anna@example.com", "bert@example.com"} {
		message := s.hosts[users[rcpt[:4]]].WaitMessage(t, rcpt, "Subject: traced")
		ours := strings.Index(message, "X-Postwhere: anna@example.com mail1,\n\tbert@example.com mail2\n")
		if ours < 0 || strings.Count(message, "mail1,") != 1 || strings.Index(message, "X-Postwhere: forged") < ours {
			t.Errorf("%s got\n%s", rcpt, message)
		}
	}
}

// Whoever gets past is let in by both faces.
func TestPostfixBypass(t *testing.T) {
	t.Parallel()
	inside, _ := oneHost(t, "[bypass]\nnetworks = [\"127.0.0.0/8\"]\n")
	d, events := oneHost(t, `
[bypass]
senders    = ["friends.example", "<>"]
recipients = ["abuse@"]
`)
	front := testbed.Swallow(t,
		"smtpd_recipient_restrictions=check_policy_service inet:"+d.AddressOf("policy"),
		"smtpd_milters=inet:"+d.AddressOf("milter"),
		"smtpd_recipient_restrictions=check_policy_service inet:"+inside.AddressOf("policy"),
		"smtpd_milters=inet:"+inside.AddressOf("milter"))
	for i, addr := range front.Addrs() {
		c := testbed.DialSMTP(t, addr)
		want := "550 5.1.1"
		if i >= 2 {
			want = "250"
		}
		c.Mail(t)
		c.Rcpt(t, "nobody@example.com", want)
		c.Rcpt(t, "Abuse@example.com", "250")
		for _, sender := range []string{"<anybody@Friends.example>", "<>"} {
			c.Cmd(t, "RSET", "250")
			c.Cmd(t, "MAIL FROM:"+sender, "250")
			c.Rcpt(t, "nobody@example.com", "250")
			c.Rcpt(t, "yes@example.com", "250")
		}
		c.Data(t, "past the search")
	}
	for _, e := range events.All() {
		if past := e.Finding.LetIn; past != strings.HasPrefix(e.Finding.Why, "bypass: ") || past && e.Finding.Source != policy.SourceNone {
			t.Errorf("%+v: %+v", e.Request, e.Finding)
		}
	}
}
