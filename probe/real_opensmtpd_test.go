package probe

import (
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// OpenSMTPD knows neither VRFY nor SMTPUTF8, and takes no quoted local part, nor
// one that ends in a dot: of these it says that they are no addresses, which
// need not be so at the host that has the mailbox.
var (
	openSMTPDOwners    = []string{"anna@d.test", "AnNa@D.Test", "anna+ext@d.test", "ANNA+Ext@d.test", "alias@d.test", "Alias+x@d.test", "postmaster@d.test"}
	openSMTPDStrangers = []string{
		"nobody@d.test", "NoBody@D.test", "nobody+anna@d.test", "+anna@d.test", "kleine@d.test", "an-na@d.test", "anna=d.test@d.test", "SMTPUTF8@d.test", "gone@d.test",
		"-anna@d.test", "anna%@d.test", "anna%other.test@d.test",
	}
	openSMTPDOddities = []string{
		`"a b"@d.test`, `"c d"@d.test`, `"anna@d.test"@d.test`, `"anna,"@d.test`, `"a\"b"@d.test`, "anna.@d.test", "größe@d.test", "grösse-alias@d.test", "größe.@d.test",
	}
)

// openSMTPD starts an OpenSMTPD that has d.test, in a table or by its users.
func openSMTPD(virtual, local string, mailboxes ...string) func(testing.TB) *realhost.Host {
	return func(t testing.TB) *realhost.Host {
		t.Helper()
		return realhost.OpenSMTPD(t, realhost.OpenSMTPDConfig{
			Virtual: virtual, Local: local, Mailboxes: mailboxes,
			Aliases: map[string]string{"alias@d.test": "anna@d.test", "gone@d.test": "nobody@d.test"},
		})
	}
}

func TestOpenSMTPD(t *testing.T) {
	for _, c := range []realCase{
		{
			name: "virtual", start: openSMTPD("d.test", "", "anna@d.test", "postmaster@d.test"), // 524 5.2.4
			yes: openSMTPDOwners, no: openSMTPDStrangers, unsure: openSMTPDOddities, strangers: policy.No, method: "rcpt",
			bears: used{vrfys: 1, rcpts: 100, refusals: 9},
		},
		{
			name: "virtual, nobody is postmaster", start: openSMTPD("d.test", "", "anna@d.test"),
			yes: []string{"anna@d.test"}, no: []string{"nobody@d.test", "postmaster@d.test"}, strangers: policy.No, method: "rcpt",
			bears: used{vrfys: 1, rcpts: 100, refusals: 9},
		},
		{
			name: "local", start: openSMTPD("", "d.test", "anna@d.test", "postmaster@d.test"), // 550
			yes: openSMTPDOwners, no: openSMTPDStrangers, unsure: openSMTPDOddities, strangers: policy.No, method: "rcpt",
			bears: used{vrfys: 1, rcpts: 100, refusals: 9},
		},
		{
			// The same 550, which it says of a domain that it does not have.
			name: "has not got the domain", start: openSMTPD("other.test", ""),
			unsure: append([]string{"anna@d.test", "nobody@d.test", "postmaster@d.test"}, openSMTPDOddities...), strangers: policy.Unsure,
			bears: used{vrfys: 1, rcpts: 100, refusals: 9},
		},
		{
			name: "method is vrfy", start: openSMTPD("d.test", "", "anna@d.test", "postmaster@d.test"), change: func(c *Config, _ *realhost.Host) { c.Method = VRFY },
			unsure: openSMTPDOwners, strangers: policy.Unsure,
			bears: used{vrfys: 1, refusals: 1},
		},
	} {
		t.Run(c.name, c.run)
	}
}

// Where nobody is postmaster its 550 is believed as soon as it has accepted
// somebody.
func TestOpenSMTPDAcceptsSomebody(t *testing.T) {
	t.Parallel()
	p := ofRealHost(t, openSMTPD("", "d.test", "anna@d.test")(t))
	wantAll(t, p, []string{"nobody@d.test", "postmaster@d.test"}, policy.Unsure, "rcpt")
	wantAll(t, p, []string{"anna@d.test"}, policy.Yes, "rcpt")
	wantAll(t, p, []string{"nobody@d.test", "postmaster@d.test"}, policy.No, "rcpt")
}
