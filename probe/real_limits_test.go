package probe

import (
	"fmt"
	"sync"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// VRFY is a junk command to Postfix, however it is answered: after 100 on one
// connection it waits a second a reply, after 120 it hangs up.
func TestPostfixBears500KnownByVRFY(t *testing.T) {
	for name, main := range map[string]map[string]string{
		"as it comes":       nil,
		"ten junk commands": {"smtpd_junk_command_limit": "10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := postfix(main)(t)
			p := ofRealHost(t, h)
			for n := range 500 {
				wantAll(t, p, mailboxes[n%2:n%2+1], policy.Yes, "vrfy")
			}
			p.Close()
			learns := 0
			if main != nil {
				learns = 3 // until it is known what this one bears
			}
			if lines := hadEnough.FindAllString(h.Log(), -1); len(lines) > learns {
				t.Errorf("the host had enough %d times, first: %s", len(lines), lines[0])
			}
		})
	}
}

// A host that grants fewer connections than we may open is not down: those that it
// grants carry the questions (smtpd_client_connection_count_limit, 50 as it comes;
// mynetworks would be exempt).
func TestPostfixThatGrantsTwoConnections(t *testing.T) {
	t.Parallel()
	cfg := realhost.PostfixConfig{Main: map[string]string{
		"smtpd_client_connection_count_limit": "2", "smtpd_client_event_limit_exceptions": "",
	}}
	h := cfg.MailHost(t, "d.test", mailboxes...)
	p := ofRealHost(t, h, func(c *Config) { c.Connections = 10 })
	var asking sync.WaitGroup
	for i := range 10 {
		asking.Go(func() {
			for n := range 30 {
				if n%2 == 0 {
					wantAll(t, p, []string{fmt.Sprintf("nobody%d.%d@d.test", i, n)}, policy.No, "")
				} else {
					wantAll(t, p, mailboxes[:1], policy.Yes, "")
				}
			}
		})
	}
	asking.Wait()
	if err := p.health.err(); err != nil {
		t.Errorf("the host is taken to be down: %v", err)
	}
	for range 20 { // one by one there is no trouble
		wantAll(t, p, mailboxes[:1], policy.Yes, "")
	}
}

// A host that is asked about a domain that it does not have: Exim says "relay not
// permitted", with the code of an unknown mailbox, Sendmail 252 to VRFY, and would
// relay. Nobody has a mailbox there, and nobody has none. Postfix and OpenSMTPD
// are in tests of their own.
func TestHostsThatHaveNotGotTheDomain(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *realhost.Host{
		"Exim": exim("", ""), "Exim with VRFY": exim("accept", ""), "Sendmail": sendmail(""), "Sendmail, novrfy": sendmail("novrfy"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := ofRealHost(t, start(t))
			for range 3 {
				wantAll(t, p, []string{"anna@other.test", "nobody@other.test", "postmaster@other.test"}, policy.Unsure, "")
				wantAll(t, p, []string{"anna@d.test"}, policy.Yes, "")
				wantAll(t, p, []string{"nobody@d.test"}, policy.No, "")
			}
		})
	}
}
