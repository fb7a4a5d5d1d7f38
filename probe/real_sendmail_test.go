package probe

import (
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// Sendmail, as Debian builds it, has no SMTPUTF8. It takes quotes off, and the
// route in an address to the letter: it would relay for us.
var (
	sendmailOwners = []string{
		"anna@d.test", "AnNa@D.Test", "anna+ext@d.test", "ANNA+Ext@d.test", `"anna"@d.test`, `"a b"@d.test`, `"A b"@d.test`, "alias@d.test", "Alias+x@d.test", "postmaster@d.test",
	}
	sendmailStrangers = []string{
		"nobody@d.test", "NoBody@D.test", "nobody+anna@d.test", "+anna@d.test", `"c d"@d.test`, `"anna,"@d.test`, "kleine@d.test", "anna.@d.test", "an-na@d.test",
		"anna=d.test@d.test", `"a\"b"@d.test`, "SMTPUTF8@d.test", "-anna@d.test",
	}
	sendmailOddities = []string{"größe@d.test", "grösse-alias@d.test", "größe.@d.test"}
)

// sendmail starts a Sendmail that has the mailboxes. privacy is its PrivacyOptions,
// "": those of Debian.
func sendmail(privacy string) func(testing.TB) *realhost.Host {
	return func(t testing.TB) *realhost.Host {
		t.Helper()
		cfg := realhost.SendmailConfig{
			Domains:   "d.test",
			Mailboxes: []string{"anna@d.test", `"a b"@d.test`, "postmaster@d.test"},
			Aliases:   map[string]string{"alias@d.test": "anna@d.test"},
			Virtual:   map[string]string{"gone@d.test": "error:nouser 550 No such user here"},
		}
		if privacy != "" {
			cfg.Define = map[string]string{"confPRIVACY_FLAGS": privacy}
		}
		return realhost.Sendmail(t, cfg)
	}
}

func TestSendmail(t *testing.T) {
	for _, c := range []realCase{
		{
			name: "as it comes", start: sendmail(""),
			yes: sendmailOwners, no: sendmailStrangers, unsure: sendmailOddities, strangers: policy.No, method: "vrfy",
			bears: used{vrfys: 5, rcpts: 100, refusals: 9}, learns: 3, // the sixth takes a second
		},
		{
			name: "novrfy", start: sendmail("novrfy"),
			yes: sendmailOwners, no: sendmailStrangers, unsure: sendmailOddities, strangers: policy.No, method: "rcpt",
			bears: used{vrfys: 1, rcpts: 100, refusals: 9},
		},
		{
			name: "goaway", start: sendmail("goaway"),
			yes: sendmailOwners, no: sendmailStrangers, unsure: sendmailOddities, strangers: policy.No, method: "rcpt",
			bears: used{vrfys: 1, rcpts: 100, refusals: 9},
		},
	} {
		t.Run(c.name, c.run)
	}
}

// "No such user here", with which its table refuses an address, has another code.
func TestSendmailRefusesByItsTable(t *testing.T) {
	t.Parallel()
	wantAll(t, ofRealHost(t, sendmail("")(t)), []string{"gone@d.test"}, policy.Unsure, "")
}
