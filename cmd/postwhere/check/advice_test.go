package check

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
	"postwhere/probe"
)

func TestAdviceOnFailure(t *testing.T) {
	for why, want := range map[string]string{
		"cannot be reached: dial tcp 192.0.2.1:25: connect: connection refused":                                     "is it up",
		"cannot be reached: lookup nowhere.invalid: no such host":                                                   "Is its name right",
		"cannot be reached: the host refuses us: AUTH: 535 5.7.8 Error: authentication failed":                      "user and secret_file",
		"cannot be reached: the host does not offer STARTTLS, which tls = encrypt and verify want":                  `tls = "may"`,
		"cannot be reached: TLS handshake: TLS: tls: first record does not look like a TLS handshake":               "leave tls_wrappermode out",
		"cannot be reached: no greeting: read tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout":                            "tls_wrappermode = true",
		"cannot be reached: the host refuses us: SMTP error 500: 5.5.1 Unknown command":                             "LMTP",
		"cannot be reached: the host refuses us: SMTP error 554: 5.7.1 Banned":                                      "Let it take this machine in",
		"while it was calibrated: the probe's MAIL FROM was refused: 530 5.7.0 Must issue a STARTTLS command first": `tls = "encrypt" in [host."mail1"]`,
		"while it was calibrated: the probe's MAIL FROM was refused: 530 5.7.0 AUTH required":                       "Say user and secret_file",
		"while it was calibrated: the probe's MAIL FROM was refused: 553 5.1.8 No such domain":                      "probe.sender",
		"no Minger server there: read udp: connection refused":                                                      "Minger server run",
		"while it was calibrated: no answer in time; it was asked 5 times":                                          "Minger server run",
		"cannot be reached: the host offers neither AUTH PLAIN nor LOGIN":                                           "Leave user and secret_file out",
	} {
		if got := adviceOnFailure(errors.New(why), config.Host{}, `[host."mail1"]`); !strings.Contains(got, want) {
			t.Errorf("%s\n%s, want %q", why, got, want)
		}
	}
}

// tls = "may" is refused where there is a user.
func TestAdviceOnALoginWithoutSTARTTLS(t *testing.T) {
	why := errors.New("cannot be reached: the host does not offer STARTTLS, which tls = encrypt and verify want")
	if got := adviceOnFailure(why, config.Host{User: "probe"}, `[host."mail1"]`); !strings.Contains(got, "as 587") || strings.Contains(got, `"may"`) {
		t.Error(got)
	}
}

func TestAdviceOnATroubleOfTheHosts(t *testing.T) {
	why := `cannot be calibrated: it said "451 4.3.0 Temporary internal error" to an address that nobody has`
	if got := adviceOn(probe.Calibration{Method: probe.RCPT, Why: why}, "d.test", `[host."mail1"]`); !strings.Contains(got, "its log") {
		t.Error(got)
	}
}

func TestAdviceOnASharedSecret(t *testing.T) {
	why := `cannot be calibrated: it said "postwhereblockaccess@d.test 2" about an address that nobody has: the host wants a shared secret, or another one than ours`
	if got := adviceOn(probe.Calibration{Method: probe.Minger, Why: why}, "d.test", `[host."mail1"]`); !strings.Contains(got, "secret_file") {
		t.Error(got)
	}
}

// What VRFY does not tell has nothing to do with greylisting, whatever the words; what is
// said to all comers has nothing to do with VRFY.
func TestAdviceOnVRFYAlone(t *testing.T) {
	for _, tt := range []struct {
		method    probe.Method
		why, want string
	}{
		{probe.VRFY, `VRFY does not tell: it said "252 2.1.5 Cannot verify the user, but will take the message" to an address that nobody has`, "leave method out"},
		{probe.VRFY, `VRFY does not tell: it said "502 5.5.1 command is disabled" to an address that nobody has`, "leave method out"},
		{probe.VRFY, `cannot be calibrated: it said "550 5.7.1 VRFY not permitted" to an address that nobody has`, "leave method out"},
		{probe.VRFY, `cannot be calibrated: it said "554 5.7.1 Client host rejected: Access denied" to an address that nobody has`, "let it take this machine in"},
		{probe.RCPT, `cannot be calibrated: it said "450 4.7.1 verify in progress, as VRFY would have told" to an address that nobody has`, "greylisting"},
	} {
		if got := adviceOn(probe.Calibration{Method: tt.method, Why: tt.why}, "d.test", `[host."mail1"]`); !strings.Contains(got, tt.want) {
			t.Errorf("%s\n%q, want %q", tt.why, got, tt.want)
		}
	}
}

func TestAdviceOnAControlAddressThatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		method probe.Method
		said   string
		blames bool
	}{
		{probe.VRFY, "VRFY is disabled", true},
		{probe.VRFY, "no such user", false},
		{probe.RCPT, "no such user, says VRFY", false},
	} {
		c := probe.Calibration{Method: tt.method, Tells: true, Refusal: policy.Reply{Code: 550, Text: tt.said}}
		if got := adviceOnControl(c, `[host."mail1"]`); !strings.HasPrefix(got, "Set control to ") || strings.Contains(got, "leave method out") != tt.blames {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// Each of these is mended in the host's section.
func TestHostThatNeedsAnotherSettingIsToldWhich(t *testing.T) {
	has := testbed.Having("anna@example.com")
	wantsAUTH := &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	for name, tt := range map[string]struct {
		ways           testbed.Ways
		settings, want string
	}{
		"VRFY alone":         {testbed.Ways{Rcpt: has}, `method = "vrfy"`, `Its answers are unsure: leave method out of [host."mail1"], or say method = "rcpt"`},
		"AUTH":               {testbed.Ways{Rcpt: has, Mail: wantsAUTH}, "", `530 5.7.0 Authentication required. Say user and secret_file in [host."mail1"]`},
		"another's address":  {testbed.Ways{Rcpt: has}, `bind_address = "192.0.2.1"`, `This machine has no address 192.0.2.1: let bind_address in [host."mail1"] `},
		"the same by Minger": {testbed.Ways{Rcpt: has}, "method = \"minger\"\nbind_address = \"192.0.2.1\"", `This machine has no address 192.0.2.1: let bind_address in [host."mail1"] `},
	} {
		t.Run(name, func(t *testing.T) {
			text := testbed.SiteText(testbed.StartHostOf(t, tt.ways)) + tt.settings + "\n"
			if strings.Contains(text, "minger") {
				text = strings.Replace(text, `probe = "`, `probe = "minger:`, 1)
			}
			if said := hostsSaid(t, text); !strings.Contains(said, "FAIL  host mail1: ") || !strings.Contains(said, tt.want) {
				t.Errorf("says\n%s, want %q", said, tt.want)
			}
		})
	}
}

// hostsSaid returns what check says of the hosts of a configuration.
func hostsSaid(t *testing.T, text string) string {
	t.Helper()
	cfg, err := config.Parse("p.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if _, _, err := Hosts(t.Context(), &said, cfg); err != nil {
		t.Fatal(err)
	}
	return said.String()
}
