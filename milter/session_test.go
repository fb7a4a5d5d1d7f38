package milter

import (
	"context"
	"strings"
	"testing"

	gomilter "github.com/d--j/go-milter"

	"postwhere/policy"
	"postwhere/policy/server"
	"postwhere/policy/server/servertest"
)

// searcherFunc is a core that is a function.
type searcherFunc func(context.Context, policy.Request) (policy.Finding, error)

func (f searcherFunc) Search(ctx context.Context, r policy.Request) (policy.Finding, error) {
	return f(ctx, r)
}

func TestVerdicts(t *testing.T) {
	for name, row := range map[string]struct{ word, want string }{
		"deliver":             {"<anna@example.com>", goOn},
		"reject":              {"<nobody@example.com>", rejectSays},
		"defer":               {"<later@example.com>", deferSays},
		"pass":                {"<x@elsewhere.example>", goOn},
		"own fault":           {"<fault@example.com>", faultSays},
		"no brackets":         {"nobody@example.com", rejectSays},
		"blanks in them":      {"< nobody@example.com >", goOn}, // see TestRecipientOf
		"source route":        {"<@relay.example:nobody@example.com>", rejectSays},
		"quoted":              {`<"nobody"@example.com>`, rejectSays},
		"case":                {"<NoBody@Example.COM>", rejectSays},
		"no domain":           {"<postmaster>", goOn},
		"nothing":             {"<>", goOn},
		"empty":               {"", goOn},
		"UTF-8":               {"<ünna@example.com>", goOn},
		"invalid UTF-8":       {"<\xff@elsewhere.example>", goOn},
		"longer than a frame": {"<" + strings.Repeat("x", 70000) + "@elsewhere.example>", goOn},
	} {
		t.Run(name, func(t *testing.T) {
			m := inMessage(t, startServer(t, "tcp", &servertest.Searcher{}, Options{}))
			m.send(macros('R', "{rcpt_mailer}", "relay"), frame('R', row.word+"\x00"))
			m.wants(row.want)
		})
	}
}

// Each recipient has a reply of his own, and the next is asked about whatever
// became of the one before; so has the next message, and what was sent in one
// packet.
func TestEachRecipientByHimself(t *testing.T) {
	var s servertest.Searcher
	m := inMessage(t, startServer(t, "unix", &s, Options{}))
	words := []string{"<fault@example.com>", "<nobody@example.com>", "<anna@example.com>", "<later@example.com>", "<x@elsewhere.example>"}
	want := []string{faultSays, rejectSays, goOn, deferSays, goOn}
	for range 3 {
		for i, word := range words {
			m.send(rcptOf(word))
			m.wants(want[i])
		}
		m.send(rcptOf(words[1]) + rcptOf(words[2]) + rcptOf(words[3]))
		m.wants(want[1])
		m.wants(want[2])
		m.wants(want[3])
		m.send(frame('E', ""))
		m.wants("a") // the message is over
		m.send(frame('A', ""), frame('M', "<>\x00"))
	}
	if n := len(s.Asked()); n != 3*8 {
		t.Errorf("%d searches, want %d", n, 3*8)
	}
}

func TestRequestOfTheSearch(t *testing.T) {
	var s servertest.Searcher
	addr := startServer(t, "tcp", &s, Options{})
	m := inMessage(t, addr)
	m.send(macros('M', "{auth_authen}", "anna"), frame('M', "<S@Src.example>\x00SIZE=100\x00"))
	m.send(macros('R', "i", "4Zx", "{rcpt_mailer}", "smtp", "{rcpt_addr}", "user+ext@example.com"), frame('R', "<User+Ext@Example.COM>\x00NOTIFY=NEVER\x00"))
	m.wants(goOn)
	// EHLO again after STARTTLS, and a bounce.
	m.send(frame('A', ""), frame('H', "postwhere-1.front.example\x00"), frame('M', "<>\x00"), rcptOf("<bert@example.com>"))
	m.wants(goOn)
	// Sendmail uses the connection for another client.
	m.send(frame('K', ""), frame('C', "v6.example\x006\x1f\x90IPv6:2001:DB8::1\x00"), frame('M', "<t@src.example>\x00"))
	m.send(macros('R', "{rcpt_mailer}", "esmtp"), frame('R', "<carla@example.com>\x00"))
	m.wants(goOn)
	want := []policy.Request{
		{Recipient: "User+Ext@Example.COM", QueueID: "4Zx", Client: "192.0.2.7", Helo: "client.example", User: "anna", Sender: "S@Src.example"},
		{Recipient: "bert@example.com", QueueID: "4Zx", Client: "192.0.2.7", Helo: "postwhere-1.front.example", Sender: policy.NullSender},
		{Recipient: "carla@example.com", Client: "2001:db8::1", Sender: "t@src.example"},
	}
	got := s.Asked()
	if len(got) != len(want) {
		t.Fatalf("%d searches: %+v", len(got), got)
	}
	for i, r := range want {
		r.Face, r.State, r.Door = "milter", "RCPT", true
		if got[i] != r {
			t.Errorf("asked %+v, want %+v", got[i], r)
		}
	}
}

// What the MTA has refused is left alone, and what no SMTP client sends is never
// refused.
func TestRecipientsThatAreNotJudged(t *testing.T) {
	for name, row := range map[string]struct {
		client string
		macros []string
		judged bool
	}{
		"refused by the MTA":                       {outside, []string{"{rcpt_mailer}", "error", "{rcpt_addr}", "Relay access denied", "{rcpt_host}", "5.7.1"}, false},
		"by smtpd":                                 {outside, []string{"{rcpt_mailer}", "smtp", "{rcpt_addr}", "nobody@example.com"}, true},
		"by smtpd, port not known":                 {"unknown\x004\x00\x00192.0.2.7\x00", []string{"{rcpt_mailer}", "smtp"}, true},
		"by sendmail(1) and cleanup":               {inside, []string{"i", "4Zx", "{rcpt_addr}", "nobody@example.com"}, false},
		"without macros":                           {inside, nil, false},
		"over IPv6":                                {"localhost\x006\x00\x00::1\x00", nil, false},
		"by qmqpd and cleanup":                     {outside, []string{"i", "4Zx", "{rcpt_addr}", "nobody@example.com"}, false},
		"by another MTA, without macros":           {outside, nil, true},
		"of unknown family":                        {"localhost\x00U", nil, false},
		"of unknown family, with all the rest":     {"localhost\x00U\x00\x00\x00", nil, false},
		"over a socket":                            {"localhost\x00L\x00\x01/run/mta\x00", nil, false},
		"over a socket, by smtp of Sendmail's own": {"localhost\x00L\x00\x01/run/mta\x00", []string{"{rcpt_mailer}", "esmtp"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := dialMTA(t, startServer(t, "tcp", &servertest.Searcher{}, Options{}))
			m.negotiate(6, allActions, allProtocol)
			m.send(frame('C', row.client), frame('M', "root\x00"), macros('R', row.macros...), frame('R', "nobody@example.com\x00"))
			m.wants(map[bool]string{true: rejectSays, false: goOn}[row.judged])
		})
	}
}

// An MTA that lets nobody choose macros may send whichever it likes.
func TestOlderMTAIsJudgedByItsClient(t *testing.T) {
	m := dialMTA(t, startServer(t, "tcp", &servertest.Searcher{}, Options{}))
	m.negotiate(2, 0x3f, oldProtocol)
	for _, f := range []string{frame('C', outside), frame('H', "client.example\x00"), frame('M', "<s@src.example>\x00")} {
		m.send(f)
		m.wants(goOn)
	}
	m.send(macros('R', "{rcpt_addr}", "nobody@example.com"), frame('R', "<nobody@example.com>\x00"))
	m.wants(rejectSays)
}

// A panic of ours costs one recipient a 4xx, and no more.
func TestPanicIsA4xx(t *testing.T) {
	var j journal
	s := searcherFunc(func(_ context.Context, r policy.Request) (policy.Finding, error) {
		if strings.HasPrefix(r.Recipient, "panic") {
			panic("out of order")
		}
		return policy.Finding{Verdict: policy.Deliver}, nil
	})
	m := inMessage(t, startServer(t, "tcp", s, Options{Options: server.Options{Log: j.logger()}}))
	m.send(rcptOf("<panic@example.com>"))
	m.wants(faultSays)
	m.send(rcptOf("<anna@example.com>"))
	m.wants(goOn)
	j.wait(t, "out of order")
	j.wait(t, "session_test.go") // its stack
}

// Whatever the core finds, a recipient is refused by a reply of his own or not at
// all, and for good only by a Reject.
func TestResponseIsSafe(t *testing.T) {
	var last lastReply
	for v := range 8 {
		for _, text := range []string{"", "100% no", "two\r\nlines", "NUL\x00", strings.Repeat("x", 5000), "\xff", "ünbekannt"} {
			for _, code := range []int{-1, 0, 200, 250, 421, 450, 521, 550, 571, 600, 70000} {
				f := policy.Finding{Verdict: policy.Verdict(v), Reply: policy.Reply{Code: code, Text: text}}
				resp := last.response(f).Response()
				got := string(byte(resp.Code)) + string(resp.Data)
				switch {
				case f.Verdict == policy.Deliver || f.Verdict == policy.Pass:
					if got != goOn {
						t.Errorf("%v: %q", f.Verdict, got)
					}
				case len(got) < 8 || got[0] != 'y' || got[len(got)-1] != 0 || strings.ContainsAny(got[:len(got)-1], "\r\n\x00"):
					t.Errorf("%v %d %q: %q", f.Verdict, code, text, got)
				case got[1] != '4' && (got[1] != '5' || f.Verdict != policy.Reject), got[2:4] == "21":
					t.Errorf("%v %d %q: %q", f.Verdict, code, text, got)
				case strings.Count(got, "%")%2 != 0:
					t.Errorf("%v %d %q: %q has a directive", f.Verdict, code, text, got)
				}
			}
		}
	}
}

// The library's own client, which knows only what the protocol allows.
func TestByGoMiltersClient(t *testing.T) {
	addr := startServer(t, "unix", &servertest.Searcher{}, Options{})
	bag := gomilter.NewMacroBag()
	bag.Set(gomilter.MacroRcptMailer, "relay")
	c, err := gomilter.NewClient(addr.Network(), addr.String()).Session(bag)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	action := func(a *gomilter.Action, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a.SMTPReply
	}
	action(c.Conn("client.example", gomilter.FamilyInet, 8080, "192.0.2.7"))
	action(c.Helo("client.example"))
	action(c.Mail("s@src.example", ""))
	for i := range 50 {
		who := []string{"anna", "nobody", "later", "fault", "x@elsewhere.example"}[i%5]
		want := []string{"250 accept", "550 5.1.1 User unknown", "450 4.4.1 Try again", "451 4.3.0 Temporary fault, try again later", "250 accept"}[i%5]
		rcpt := who // the client puts it in brackets
		if !strings.Contains(who, "@") {
			rcpt += "@example.com"
		}
		if got := action(c.Rcpt(rcpt, "")); got != want {
			t.Errorf("%s: %q, want %q", rcpt, got, want)
		}
	}
	action(c.DataStart())
	action(c.HeaderField("Subject", "x", nil))
	action(c.HeaderEnd())
	if acts, a, err := c.BodyReadFrom(strings.NewReader("Hello.\r\n")); err != nil || a.StopProcessing() || len(acts) > 0 {
		t.Errorf("%v, %v, %v", acts, a, err)
	}
}
