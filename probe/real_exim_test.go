package probe

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// Exim folds no case beyond ASCII, and in its tables a local part beyond ASCII
// has quotes. All its refusals are alike, those of odd addresses too. By VRFY it
// takes no SMTPUTF8.
var (
	eximOwners = []string{
		"anna@d.test", "AnNa@D.Test", "anna+ext@d.test", "ANNA+Ext@d.test", `"anna"@d.test`, `"a b"@d.test`, `"A b"@d.test`, "alias@d.test", "ALIAS@d.test", "Postmaster@d.test",
	}
	eximStrangers = append([]string{"gone@d.test", "alias+x@d.test"}, slices.DeleteFunc(slices.Concat(strangers, oddities), isUTF8)...)

	eximUTF8Owners    = []string{"größe@d.test", "größe+ext@d.test"}
	eximUTF8Strangers = []string{"GRÖßE@d.test", "größe.@d.test"}
	eximUTF8          = slices.Concat(eximUTF8Owners, eximUTF8Strangers)
)

func isUTF8(address string) bool { return !isASCII(address) }

// exim starts an Exim that has the mailboxes. vrfy is its ACL for VRFY, rcpt what
// its ACL for RCPT begins with.
func exim(vrfy, rcpt string) func(testing.TB) *realhost.Host {
	return func(t testing.TB) *realhost.Host {
		t.Helper()
		cfg := realhost.EximConfig{
			Domains:   "d.test",
			Mailboxes: []string{"anna@d.test", `"a b"@d.test`, `"größe"@d.test`, "postmaster@d.test"},
			Aliases:   map[string]string{"alias@d.test": "anna@d.test", "gone@d.test": "nobody@d.test"},
			Suffix:    "+*",
			RCPT:      rcpt,
		}
		if vrfy != "" {
			cfg.Main = map[string]string{"acl_smtp_vrfy": vrfy}
		}
		return realhost.Exim(t, cfg)
	}
}

// Of VRFY Exim bears ten on a connection, smtp_accept_max_nonmail.
func TestExim(t *testing.T) {
	byRCPT := realCase{
		yes: slices.Concat(eximOwners, eximUTF8Owners), no: slices.Concat(eximStrangers, eximUTF8Strangers), strangers: policy.No, method: "rcpt",
		bears: used{vrfys: 1, rcpts: 100, refusals: 9},
	}
	byVRFY := realCase{
		yes: eximOwners, no: eximStrangers, unsure: eximUTF8, strangers: policy.No, method: "vrfy",
		bears: used{vrfys: 10, refusals: 9}, learns: 3,
	}
	useless := realCase{
		unsure: slices.Concat(eximOwners, eximStrangers, eximUTF8), strangers: policy.Unsure,
		bears: used{vrfys: 10, rcpts: 100, refusals: 9},
	}
	for _, c := range []realCase{
		byRCPT.as("as it comes", exim("", "")),
		byRCPT.as("VRFY tells", exim("accept", "")), // but without an enhanced code, and is trusted only if wanted
		byRCPT.as("VRFY is refused", exim("deny", "")),
		byRCPT.learning(3).as("Debian's limit of bad recipients", exim("", realhost.EximTooManyBad)),
		byVRFY.by(VRFY).as("VRFY is wanted", exim("accept", "")),
		byVRFY.by(VRFY).as("VRFY is wanted, RCPT accepts everything", exim("accept", "accept")),
		useless.by(VRFY).as("VRFY is wanted and does not tell", exim("", "")),
		useless.as("accepts everything", exim("", "accept")),
		useless.as("wants no probes", exim("", "deny message = 550 Go away")),
		useless.as("refuses for now", exim("", "defer message = Greylisted")),
	} {
		t.Run(c.name, c.run)
	}
}

// Exim's own configuration, and Debian's, takes mail for a postmaster before it looks
// whether there is one. When its directory is empty all of a sudden, that he is
// accepted does not make the refusal of everybody else believed.
func TestEximWithAnEmptyDirectoryRefusesNobody(t *testing.T) {
	t.Parallel()
	h := exim("", "accept local_parts = postmaster\n       domains = +local_domains")(t)
	p := ofRealHost(t, h)
	wantAll(t, p, []string{"anna@d.test", "postmaster@d.test"}, policy.Yes, "rcpt")
	wantAll(t, p, []string{"nobody@d.test"}, policy.No, "rcpt")
	if err := os.Truncate(filepath.Join(h.Dir(), "etc", "mailboxes"), 0); err != nil {
		t.Fatal(err)
	}
	grewOld(p, "d.test", witnessFresh)
	p.CloseIdle() // in that time each connection has: over one, Exim remembers what it looked up
	wantAll(t, p, []string{"postmaster@d.test"}, policy.Yes, "rcpt")
	wantAll(t, p, []string{`"a b"@d.test`, "anna@d.test"}, policy.Unsure, "")
}
