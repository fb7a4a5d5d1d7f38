package check

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/testbed"
)

// A host may have been told of the first of a domain's names only. Strangers by the others
// would get 4xx for ever.
func TestHostThatHasTheFirstNameOnly(t *testing.T) {
	relays := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Relaying denied"}
	has := testbed.Having("anna@example.com")
	mail1 := testbed.StartHost(t, func(to string) error {
		if !strings.HasSuffix(to, "@example.com") {
			return relays
		}
		return has(to)
	})
	text := strings.Replace(testbed.SiteText(mail1), `name  = "example.com"`, `name = ["example.com", "example.net"]`, 1)
	for _, tt := range []struct{ text, want string }{
		{text, "FAIL  host mail1: example.net: cannot be calibrated: it said "},
		{strings.Replace(text, "[[domain]]\n", "[[domain]]\nask_as = \"example.com\"\n", 1), ""},
	} {
		cfg, err := config.Parse("p.toml", tt.text)
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		if _, _, err := Hosts(t.Context(), &said, cfg); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(said.String(), "example.net") != (tt.want != "") || !strings.Contains(said.String(), tt.want) || !strings.Contains(said.String(), "ok    host mail1: example.com: asked by ") {
			t.Errorf("says\n%s, want %q", said.String(), tt.want)
		}
	}
}

// Or it refuses everybody by the others in the words in which it refuses a stranger, so that all
// their mail would bounce.
func TestHostThatHasNobodyByTheSecondName(t *testing.T) {
	for _, tt := range []struct {
		mailboxes []string
		control   string
		notes     bool
	}{
		{[]string{"postmaster@example.com"}, "", true},
		{[]string{"postmaster@example.com", "postmaster@example.net"}, "", false},
		{[]string{"anna@example.com"}, "", false}, // it may have none
		{[]string{"anna@example.com"}, "control = \"anna@example.com\"\n", true},
		{[]string{"anna@example.com", "anna@example.net"}, "control = \"anna@example.com\"\n", false},
	} {
		text := testbed.SiteText(testbed.StartHost(t, testbed.Having(tt.mailboxes...))) + tt.control
		cfg, err := config.Parse("p.toml", strings.Replace(text, `name  = "example.com"`, `name = ["example.com", "example.net"]`, 1))
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		if _, _, err := Hosts(t.Context(), &said, cfg); err != nil {
			t.Fatal(err)
		}
		if notes := strings.Contains(said.String(), "@example.net as it does an unknown address: does it know example.net"); notes != tt.notes {
			t.Errorf("%v, %q: says\n%s", tt.mailboxes, tt.control, said.String())
		}
	}
}

// What a host needs to be asked it needs to be sent mail, too.
func TestHostThatIsAskedInAnotherWayThanItIsSentMail(t *testing.T) {
	text := testbed.SiteText(testbed.StartHost(t, testbed.Having("anna@example.com"))) + "tls_wrappermode = true\n"
	for _, tt := range []struct {
		text  string
		notes bool
	}{
		{text, true},
		{text + "route = \"relay-tls:[mail1]:465\"\n", false},
	} {
		cfg, err := config.Parse("p.toml", tt.text)
		if err != nil {
			t.Fatal(err)
		}
		var said bytes.Buffer
		if _, _, err := Hosts(t.Context(), &said, cfg); err != nil {
			t.Fatal(err)
		}
		if notes := strings.Contains(said.String(), "note  host mail1: Postfix sends its mail to smtp:[mail1]:25, and needs the TLS"); notes != tt.notes {
			t.Errorf("says\n%s", said.String())
		}
	}
}
