package probe

import (
	"strings"
	"testing"

	"postwhere/policy"
)

// troubles are what may come instead of a reply. None of them is a no, whichever
// command it comes to.
var troubles = map[string]string{
	"hangs up":              drop,
	"resets":                reset,
	"half a no":             "550 5.1.1 no such us…" + drop,
	"half of two lines":     "550-5.1.1 no such user" + drop,
	"421":                   "421 4.7.0 fake.test Error: too many errors",
	"421 and hangs up":      "421 4.4.2 fake.test Error: timeout exceeded" + drop,
	"450 greylisting":       "450 4.2.0 Greylisted",
	"451":                   "451 4.3.0 Temporary lookup failure",
	"503":                   "503 5.5.1 Error: need MAIL command",
	"530":                   "530 5.7.0 Must issue a STARTTLS command first",
	"554":                   "554 No SMTP service here",
	"554 relay":             "554 5.7.1 Relay access denied",
	"554 nonmail, hangs up": "554 Too many nonmail commands" + drop,
	"550 of the prober":     "550 Administrative prohibition",
	"550 block list":        "550 5.7.1 Service unavailable; client host blocked",
	"lines disagree":        "550-5.7.1 blocked\n550 5.1.1 no such user",
	"250- and then 251":     "250-2.1.5 ok\n251 2.1.5 will forward" + drop, // go-smtp reads on
	"garbage":               "no such user",
	"empty line":            "",
	"NUL":                   "550 5.1.1 no\x00",
	"100 kB":                "550 5.1.1 " + strings.Repeat("x", 100_000),
	"1000 lines":            strings.Repeat("550-5.1.1 x\n", 1000) + "550 5.1.1 x",
	"preliminary":           "150 5.1.1 wait",
	"no of the greeting":    "550 5.1.1 no such user", // not for VRFY and RCPT
}

// stages are the commands at which trouble comes, and whether the host is to be
// asked by VRFY.
var stages = []struct {
	verb string
	vrfy bool
}{{"GREETING", true}, {"EHLO", true}, {"VRFY", true}, {"MAIL", false}, {"RCPT", false}}

func TestNoTroubleIsANoFromTheBeginning(t *testing.T) {
	for name, trouble := range troubles {
		for _, stage := range stages {
			if name == "no of the greeting" && (stage.verb == "VRFY" || stage.verb == "RCPT") {
				continue
			}
			t.Run(name+" at "+stage.verb, func(t *testing.T) {
				usual := has(stage.vrfy, "anna")
				h := newHost(t, func(d *dialogue, verb, arg string) string {
					if verb == stage.verb {
						return troubleOr(trouble)
					}
					return usual(d, verb, arg)
				})
				p := ofHost(t, h)
				for _, who := range []string{"anna", "nobody"} {
					wantRightOrUnsure(t, p, who, stage.verb == "VRFY")
				}
				if n := h.connections(); n > 4 {
					t.Errorf("%d connections for two questions", n)
				}
			})
		}
	}
}

func TestNoTroubleIsANoToTheQuestionItself(t *testing.T) {
	for name, trouble := range troubles {
		for _, verb := range []string{"VRFY", "RCPT"} {
			if name == "no of the greeting" {
				continue
			}
			t.Run(name+" to "+verb, func(t *testing.T) {
				usual := has(verb == "VRFY", "anna")
				h := newHost(t, func(d *dialogue, v, arg string) string {
					if v == verb && (isAbout(arg, "anna") || isAbout(arg, "nobody")) {
						return troubleOr(trouble)
					}
					return usual(d, v, arg)
				})
				p := ofHost(t, h)
				for _, who := range []string{"anna", "nobody", "anna"} {
					wantRightOrUnsure(t, p, who, verb == "VRFY" && name == "550 of the prober")
				}
				if n := h.connections(); n > 6 {
					t.Errorf("%d connections for three questions", n)
				}
			})
		}
	}
}

// wantRightOrUnsure asks whether anna has a mailbox, which she has, or anybody
// else, who has not. If RCPT works the host may tell by that.
func wantRightOrUnsure(t *testing.T, p *Prober, who string, byRCPT bool) {
	t.Helper()
	right := policy.No
	if who == "anna" {
		right = policy.Yes
	}
	got := ask(t, p, who+"@d.test")
	if got.Says != policy.Unsure && (!byRCPT || got.Says != right || got.Method != "rcpt") {
		t.Errorf("%s: %s %s %q", who, got.Says, got.Method, got.Reply)
	}
}

// troubleOr is a reply for the fake host, to which "" is the usual one.
func troubleOr(trouble string) string {
	if trouble == "" {
		return "\r"
	}
	return trouble
}

// The same hosts without trouble tell, so that the tests above mean something.
func TestHostWithoutTroubleTells(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		p := ofHost(t, newHost(t, has(vrfy, "anna")))
		wantSays(t, p, "anna@d.test", policy.Yes)
		wantSays(t, p, "nobody@d.test", policy.No)
	}
}

// Exim says 554 to the 11th VRFY, RSET or NOOP of a connection; so does one that
// is set to less than our budget. The question is put once more, and answered.
func TestTooManyNonmailCommandsIsAWornConnection(t *testing.T) {
	usual := has(true, "anna")
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && d.count("VRFY") > 2 {
			return "554 Too many nonmail commands" + drop
		}
		return usual(d, verb, arg)
	})
	p := ofHost(t, h)
	for range 5 {
		wantSays(t, p, "anna@d.test", policy.Yes)
		wantSays(t, p, "nobody@d.test", policy.No)
	}
}

func TestGreetingOf554IsUnsureAndSaysWhatTheHostSaid(t *testing.T) {
	p := ofHost(t, newHost(t, func(_ *dialogue, verb, _ string) string {
		if verb == "GREETING" {
			return "554 5.1.1 SMTP service not \x1b[31mavailable" + drop
		}
		return ""
	}))
	got := wantSays(t, p, "anna@d.test", policy.Unsure)
	if !strings.Contains(got.Why, "SMTP service not ?[31mavailable") {
		t.Errorf("why: %q", got.Why)
	}
}

// MAIL FROM refused says nothing of the recipient, even in the words of an
// unknown mailbox.
func TestRefusedSenderIsUnsure(t *testing.T) {
	usual := has(false, "anna")
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		if verb == "MAIL" {
			return "550 5.1.1 <>: no such user"
		}
		return usual(d, verb, arg)
	})
	got := wantSays(t, ofHost(t, h), "nobody@d.test", policy.Unsure)
	if got.Reply != (policy.Reply{}) || !strings.Contains(got.Why, "MAIL FROM was refused: 550 5.1.1") {
		t.Errorf("reply %v, why %q", got.Reply, got.Why)
	}
	if h.count("RCPT") > 0 {
		t.Error("asked all the same")
	}
}

func TestSoftBounceIsAYesThatCountsAndNoNo(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		usual := has(vrfy, "anna")
		p := ofHost(t, newHost(t, func(d *dialogue, verb, arg string) string {
			if rest, ok := strings.CutPrefix(usual(d, verb, arg), "550 5.1.1"); ok {
				return "450 4.1.1" + rest
			}
			return usual(d, verb, arg)
		}))
		for range 3 {
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "nobody@d.test", policy.Unsure)
		}
	}
}

// Greylisting in the code of a soft bounce: the host says it of everybody, and
// then accepts everybody.
func TestGreylistingIsNoSoftBounce(t *testing.T) {
	for _, text := range []string{"greylisted", "unverified address: Address verification in progress", "please try again"} {
		p := ofHost(t, newHost(t, func(d *dialogue, verb, _ string) string {
			switch {
			case verb == "VRFY" && d.n == 1:
				return "450 4.1.1 " + text
			case verb == "VRFY" || verb == "RCPT":
				return "250 2.1.5 Ok"
			}
			return ""
		}))
		for range 3 {
			wantSays(t, p, "nobody@d.test", policy.Unsure)
		}
	}
}
