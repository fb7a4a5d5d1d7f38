package probe

import (
	"path/filepath"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// Dovecot offers no SMTPUTF8, and of +anna@ it says that @ does not exist. Of full@ it says so at RCPT, if it is told to.
var (
	dovecotOwners = []string{
		"anna@d.test", "AnNa@D.Test", "anna+ext@d.test", "ANNA+Ext@d.test", `"anna"@d.test`, `"a b"@d.test`, `"A b"@d.test`, "alias@d.test", "Alias+x@d.test",
		"postmaster@d.test", "full@d.test", "Full+x@d.test",
	}
	dovecotStrangers = []string{
		"nobody@d.test", "NoBody@D.test", "nobody+anna@d.test", "NoBody+anna+x@D.test", "nobody+x+y@d.test", `"c d"@d.test`, `"c d+x"@d.test`, `"anna,"@d.test`, "kleine@d.test", "an-na@d.test",
		"anna=d.test@d.test", `"a\"b"@d.test`, "SMTPUTF8@d.test", "-anna@d.test", "anna%@d.test", "anna%other.test@d.test",
	}
	dovecotOddities = []string{"+anna@d.test", "größe@d.test", "grösse-alias@d.test", "größe.@d.test"}
)

// dovecot starts a Dovecot that has the mailboxes.
func dovecot(conf string) func(testing.TB) *realhost.Host {
	return func(t testing.TB) *realhost.Host {
		t.Helper()
		return realhost.DovecotLMTP(t, realhost.DovecotConfig{
			Mailboxes: []string{"anna@d.test", `"a b"@d.test`, "postmaster@d.test"},
			Full:      []string{"full@d.test"},
			Aliases:   map[string]string{"alias@d.test": "anna@d.test"},
			Conf:      conf,
		})
	}
}

func overLMTP(cfg *Config, _ *realhost.Host) { cfg.Endpoint.LMTP = true }

func overUnixSocket(cfg *Config, h *realhost.Host) {
	cfg.Endpoint = Endpoint{LMTP: true, Network: "unix", Address: filepath.Join(h.Dir(), realhost.LMTPSocket)}
}

// VRFY is not even tried.
func TestDovecotLMTP(t *testing.T) {
	c := realCase{
		yes: dovecotOwners, no: dovecotStrangers, unsure: dovecotOddities, strangers: policy.No, method: "rcpt",
		change: overLMTP, bears: used{rcpts: 100, refusals: 9},
	}
	overSocket := c
	overSocket.change = overUnixSocket
	for _, c := range []realCase{
		c.as("inet", dovecot("")),
		overSocket.as("unix", dovecot("")),
		c.as("refuses the full ones", dovecot("lmtp_rcpt_check_quota = yes")),
		c.as("defers the full ones", dovecot("lmtp_rcpt_check_quota = yes\nquota_full_tempfail = yes")),
	} {
		t.Run(c.name, c.run)
	}
}

// Dovecot names the address as it was asked about, and the mailbox that it looked
// for. The mailbox alone is the reply to another question.
func TestRefusalThatNamesTheMailboxToo(t *testing.T) {
	for _, tt := range []struct {
		address, text string
		want          policy.Says
	}{
		{"anna+x@d.test", "<anna+x@d.test> User doesn't exist: anna@d.test", policy.No},
		{"Anna+X+y@D.Test", "<Anna+X+y@d.test> User doesn't exist: Anna@d.test", policy.No},
		{`"a b+x"@d.test`, `<"a b+x"@d.test> User doesn't exist: a b@d.test`, policy.No},
		{"anna+x@d.test", "<anna@d.test> User doesn't exist: anna@d.test", policy.Unsure},
		{"anna@d.test", "<anna+x@d.test> User doesn't exist: anna@d.test", policy.Unsure},
		{"anna+x@d.test", "<anna+y@d.test> User doesn't exist: anna@d.test", policy.Unsure},
		{"anna+x@d.test", "<anna+x@d.test> User doesn't exist: joanna@d.test", policy.Unsure},
		{"anna+x@d.test", "<anna+x@d.test> User doesn't exist: bert@d.test", policy.Unsure},
		{"anna+x@d.test", "<joanna+x@d.test> User doesn't exist: joanna@d.test", policy.Unsure},
		{"+anna@d.test", "<+anna@d.test> User doesn't exist: @d.test", policy.Unsure},
		{"anna.x@d.test", "<anna.x@d.test> User doesn't exist: anna@d.test", policy.Unsure}, // an alias
	} {
		q := question{method: RCPT, address: address(t, tt.address).String(), calibration: Calibration{
			Tells: true, Nonsense: nonsense, Refusal: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "<" + nonsense + "> User doesn't exist: " + nonsense},
		}}
		if m := q.read(policy.Reply{Code: 550, Enhanced: "5.1.1", Text: tt.text}); m.says != tt.want {
			t.Errorf("%s: %s: %s (%s), want %s", tt.address, tt.text, m.says, m.why, tt.want)
		}
	}
}
