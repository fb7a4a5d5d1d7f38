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
