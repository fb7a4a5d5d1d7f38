package delegation

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy/server/servertest"
)

// TestSmtpd asks by way of a real smtpd.
func TestSmtpd(t *testing.T) {
	realhost.Need(t, "postfix")
	s := new(servertest.Searcher)
	check := "check_policy_service inet:" + servertest.Start(t, "tcp", Exchange(s)).String()
	postfix := realhost.Postfix(t, realhost.PostfixConfig{Main: map[string]string{
		"relay_domains":                "example.com",
		"relay_transport":              "discard:",
		"smtpd_recipient_restrictions": check,
		"smtpd_data_restrictions":      check,
		"smtpd_policy_service_timeout": "20s",
	}})
	c, err := textproto.Dial("tcp", postfix.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say := func(command, want string) {
		t.Helper()
		if command != "" {
			if err := c.PrintfLine("%s", command); err != nil {
				t.Fatal(err)
			}
		}
		code, text, err := c.ReadResponse(0)
		if err != nil && code == 0 {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %s", code, text); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	say("", "220 ")
	say("EHLO helo.example", "250 ")
	say("VRFY nobody@example.com", "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown")
	say("VRFY anna@example.com", "252 2.0.0")
	say("MAIL FROM:<s@src.example> SMTPUTF8", "250 ")
	say("RCPT TO:<nobody@example.com>", "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown")
	say("RCPT TO:<later@example.com>", "450 4.4.1 <later@example.com>: Recipient address rejected: Try again")
	say("RCPT TO:<anna@example.com>", "250 2.1.5 ")
	say(`RCPT TO:<"a b"@Example.COM>`, "250 2.1.5 ")
	say("RCPT TO:<ünna@example.com>", "250 2.1.5 ")
	// Not answered, asked again after a second, and told so.
	say("RCPT TO:<fault@example.com>", "451 4.3.5 <fault@example.com>: Recipient address rejected: Server configuration problem")
	say("DATA", "354 ")
	say("Subject: x\r\n\r\n.", "250 2.0.0 ")
	say("MAIL FROM:<s@src.example>", "250 ")
	say("RCPT TO:<anna@example.com>", "250 2.1.5 ")
	say("DATA", "354 ") // with one recipient, which is asked about again
	say("Subject: x\r\n\r\n.", "250 2.0.0 ")
	say("QUIT", "221 ")

	var got []string
	for _, r := range s.Asked() {
		got = append(got, r.State+" "+r.Recipient)
		if r.Face != "policy" || r.Client != "127.0.0.1" || r.Helo != "helo.example" || r.Wait != 0 {
			t.Errorf("asked %+v", r)
		}
	}
	want := []string{
		"VRFY nobody@example.com", "VRFY anna@example.com", "RCPT nobody@example.com", "RCPT later@example.com",
		"RCPT anna@example.com", "RCPT a b@Example.COM", "RCPT ünna@example.com",
		"RCPT fault@example.com", "RCPT fault@example.com", "RCPT anna@example.com",
	}
	if !slices.Equal(got, want) {
		t.Errorf("asked %q, want %q", got, want)
	}
}
