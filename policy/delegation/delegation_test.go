package delegation

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"postwhere/policy"
	"postwhere/policy/server"
	"postwhere/policy/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rcpt is a request as Postfix 3.7 sends it.
func rcpt(recipient string) string {
	return strings.Join([]string{
		"request=smtpd_access_policy", "protocol_state=RCPT", "protocol_name=ESMTP", "client_address=192.0.2.7",
		"client_name=client.example", "client_port=46640", "reverse_client_name=client.example",
		"server_address=192.0.2.1", "server_port=25", "helo_name=helo.example", "sender=s@src.example",
		"recipient=" + recipient, "recipient_count=0", "queue_id=4Zx", "instance=be2.6b046c2d.efd1c.0", "size=1000",
		"etrn_domain=", "stress=", "sasl_method=", "sasl_username=", "sasl_sender=", "ccert_subject=", "ccert_issuer=",
		"ccert_fingerprint=", "ccert_pubkey_fingerprint=", "encryption_protocol=", "encryption_cipher=",
		"encryption_keysize=0", "policy_context=",
	}, "\n") + "\n\n"
}

const (
	dunnoReply  = "action=DUNNO\n\n"
	rejectReply = "action=550 5.1.1 User unknown\n\n"
	deferReply  = "action=450 4.4.1 Try again\n\n"
)

func TestDialogue(t *testing.T) {
	minimal := func(lines ...string) string {
		return strings.Join(append([]string{"request=smtpd_access_policy"}, lines...), "\n") + "\n\n"
	}
	for name, row := range map[string]struct {
		sent, want string
		searches   int
	}{
		"deliver":             {rcpt("anna@example.com"), dunnoReply, 1},
		"reject":              {rcpt("nobody@example.com"), rejectReply, 1},
		"defer":               {rcpt("later@example.com"), deferReply, 1},
		"pass":                {rcpt("x@elsewhere.example"), dunnoReply, 1},
		"pipelined":           {rcpt("nobody@example.com") + rcpt("later@example.com") + rcpt("anna@example.com"), rejectReply + deferReply + dunnoReply, 3},
		"unquoted":            {rcpt("a b@example.com"), dunnoReply, 1},
		"UTF-8":               {rcpt("ünna@example.com"), dunnoReply, 1},
		"no recipient":        {rcpt(""), dunnoReply, 0},
		"CRLF":                {strings.ReplaceAll(rcpt("nobody@example.com"), "\n", "\r\n"), rejectReply, 1},
		"few attributes":      {minimal("protocol_state=RCPT", "recipient=nobody@example.com"), rejectReply, 1},
		"VRFY":                {minimal("protocol_state=VRFY", "recipient=nobody@example.com"), rejectReply, 1},
		"no state":            {minimal("recipient=nobody@example.com"), dunnoReply, 0},
		"nothing but request": {minimal(), dunnoReply, 0},
		"unknown attributes":  {minimal("protocol_state=RCPT", "next=year's", "recipient=nobody@example.com"), rejectReply, 1},
		"= in a value":        {minimal("protocol_state=RCPT", "recipient=later=x@example.com"), dunnoReply, 1},
		"last one counts":     {minimal("protocol_state=RCPT", "recipient=anna@example.com", "recipient=nobody@example.com"), rejectReply, 1},
		"most attributes":     {minimal("protocol_state=RCPT", "recipient=nobody@example.com"+strings.Repeat("\nx=", maxAttributes-3)), rejectReply, 1},
		"longest line":        {minimal("protocol_state=RCPT", "recipient=nobody@example.com", "x="+strings.Repeat("x", maxLine-2)), rejectReply, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var s servertest.Searcher
			read, err := servertest.Talk(Exchange(&s), row.sent)
			if read != row.want || err != nil {
				t.Errorf("read %q, %v, want %q", read, err, row.want)
			}
			if n := len(s.Asked()); n != row.searches {
				t.Errorf("%d searches, want %d", n, row.searches)
			}
		})
	}
}

// Verdicts are about recipients: whatever else Postfix asks about, it is told
// at once to decide for itself.
func TestOtherStates(t *testing.T) {
	for _, state := range []string{"CONNECT", "HELO", "EHLO", "MAIL", "DATA", "END-OF-MESSAGE", "ETRN", "BDAT", "", "rcpt"} {
		var s servertest.Searcher
		sent := strings.Replace(rcpt("nobody@example.com"), "protocol_state=RCPT", "protocol_state="+state, 1)
		if read, err := servertest.Talk(Exchange(&s), sent); read != dunnoReply || err != nil || len(s.Asked()) > 0 {
			t.Errorf("%s: read %q, %v, %d searches", state, read, err, len(s.Asked()))
		}
	}
}

func TestRequestOfTheSearch(t *testing.T) {
	var s servertest.Searcher
	if _, err := servertest.Talk(Exchange(&s), rcpt("User+Ext@Example.COM")); err != nil {
		t.Fatal(err)
	}
	want := policy.Request{
		Recipient: "User+Ext@Example.COM", Face: "policy", QueueID: "4Zx",
		Client: "192.0.2.7", Helo: "helo.example", Sender: "s@src.example", State: "RCPT", Unquoted: true, Door: true,
	}
	if got := s.Asked(); len(got) != 1 || got[0] != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
}

func TestViolations(t *testing.T) {
	for name, sent := range map[string]string{
		"no =":                "request=smtpd_access_policy\nrecipient\n\n",
		"no name":             "request=smtpd_access_policy\n=value\n\n",
		"NUL in a value":      "request=smtpd_access_policy\nrecipient=a\x00b\n\n",
		"no request":          "protocol_state=RCPT\nrecipient=nobody@example.com\n\n",
		"other request":       "request=junk\n\n",
		"only an empty line":  "\n",
		"request, then junk":  rcpt("anna@example.com") + "GET / HTTP/1.1\r\n\r\n",
		"HTTP":                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"TLS":                 "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
		"netstring":           "17:transport a@b.com,\n\n",
		"line too long":       "request=smtpd_access_policy\nx=" + strings.Repeat("x", maxLine-1) + "\n\n",
		"line without end":    "x=" + strings.Repeat("x", 1<<20),
		"too many attributes": "request=smtpd_access_policy\n" + strings.Repeat("x=\n", maxAttributes) + "\n",
		"request too long":    "request=smtpd_access_policy\n" + strings.Repeat("x="+strings.Repeat("x", 10_000)+"\n", 7) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			var s servertest.Searcher
			read, err := servertest.Talk(Exchange(&s), sent)
			if !errors.Is(err, server.ErrMalformed) {
				t.Errorf("error %v, want malformed", err)
			}
			if read != "" && read != dunnoReply {
				t.Errorf("read %q", read)
			}
		})
	}
}

func TestBrokenOff(t *testing.T) {
	whole := rcpt("nobody@example.com")
	for n := 1; n < len(whole); n++ {
		var s servertest.Searcher
		read, err := servertest.Talk(Exchange(&s), whole[:n])
		if read != "" || err == nil || errors.Is(err, server.ErrMalformed) || len(s.Asked()) > 0 {
			t.Fatalf("after %d octets: read %q, %v, %d searches", n, read, err, len(s.Asked()))
		}
	}
}

func TestOwnFaultIsNotAnswered(t *testing.T) {
	read, err := servertest.Talk(Exchange(new(servertest.Searcher)), rcpt("fault@example.com")+rcpt("anna@example.com"))
	if read != "" || !errors.Is(err, servertest.ErrFault) || errors.Is(err, server.ErrMalformed) {
		t.Errorf("read %q, %v", read, err)
	}
}

// Whatever the core finds, smtpd is never told to accept, and a recipient is
// never refused but by a Reject.
func TestActionIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := policy.Finding{
			Verdict: policy.Verdict(rapid.Byte().Draw(t, "verdict")),
			Reply: policy.Reply{
				Code:     rapid.IntRange(-1, 999).Draw(t, "code"),
				Enhanced: rapid.StringMatching(`([245]\.[0-9]\.[0-9])?`).Draw(t, "enhanced"),
				Text:     rapid.String().Draw(t, "text"),
			},
		}
		got := Action(f)
		switch {
		case strings.ContainsAny(got, "\r\n\x00"):
			t.Errorf("%q is not one line", got)
		case f.Verdict == policy.Deliver || f.Verdict == policy.Pass:
			if got != "DUNNO" {
				t.Errorf("%v: %q", f.Verdict, got)
			}
		case len(got) < len("450 4.1.1 x") || got[0] != '4' && (got[0] != '5' || f.Verdict != policy.Reject):
			t.Errorf("%v: %q", f.Verdict, got)
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	for _, network := range []string{"tcp", "unix"} {
		b.Run(network, func(b *testing.B) {
			deliver := searcherFunc(func(context.Context, policy.Request) (policy.Finding, error) {
				return policy.Finding{Verdict: policy.Deliver}, nil
			})
			servertest.Bench(b, network, Exchange(deliver), rcpt("anna@example.com"), dunnoReply)
		})
	}
}

type searcherFunc func(context.Context, policy.Request) (policy.Finding, error)

func (f searcherFunc) Search(ctx context.Context, r policy.Request) (policy.Finding, error) {
	return f(ctx, r)
}
