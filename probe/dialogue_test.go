package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postwhere/policy"
)

// commands of the first connection, with the nonsense address called NONSENSE.
func commands(h *fakeHost) []string {
	var all []string
	for _, line := range h.heard()[0] {
		if i := strings.Index(line, "postwhere"); i > 0 && strings.Contains(line, "@") {
			j := strings.Index(line, "@")
			line = line[:i] + "NONSENSE" + line[j:]
		}
		all = append(all, line)
	}
	return all
}

func TestDialogueByVRFY(t *testing.T) {
	h := newHost(t, has(true, "anna", "a b"))
	p := ofHost(t, h)
	wantSays(t, p, "anna@d.test", policy.Yes)
	wantSays(t, p, `"a b"@d.test`, policy.No) // the fake host does not take the quotes off
	wantSays(t, p, "nobody@d.test", policy.No)
	p.Close()
	want := []string{"EHLO postwhere-test.front.test", "VRFY NONSENSE@d.test", "VRFY anna@d.test", `VRFY "a b"@d.test`, "VRFY nobody@d.test", "QUIT"}
	if diff := cmp.Diff(want, commands(h)); diff != "" {
		t.Error(diff)
	}
}

// A host that says 252 to everything is judged by RCPT, in one transaction.
func TestDialogueByRCPTIsOneTransaction(t *testing.T) {
	h := newHost(t, has(false, "anna"))
	p := ofHost(t, h)
	for _, who := range []string{"anna", "nobody", "anna", "nobody"} {
		ask(t, p, who+"@d.test")
	}
	p.Close()
	want := []string{
		"EHLO postwhere-test.front.test", "VRFY NONSENSE@d.test", "MAIL FROM:<>", "RCPT TO:<NONSENSE@d.test>",
		"RCPT TO:<anna@d.test>", "RCPT TO:<nobody@d.test>", "RCPT TO:<anna@d.test>", "RCPT TO:<nobody@d.test>", "QUIT",
	}
	if diff := cmp.Diff(want, commands(h)); diff != "" {
		t.Error(diff)
	}
}

func TestDialogueByLMTP(t *testing.T) {
	h := newHost(t, has(true, "anna"))
	p := ofHost(t, h, func(c *Config) { c.Endpoint.LMTP, c.Sender = true, "probe@front.test" })
	wantSays(t, p, "anna@d.test", policy.Yes)
	p.Close()
	want := []string{"LHLO postwhere-test.front.test", "MAIL FROM:<probe@front.test>", "RCPT TO:<NONSENSE@d.test>", "RCPT TO:<anna@d.test>", "QUIT"}
	if diff := cmp.Diff(want, commands(h)); diff != "" {
		t.Error(diff)
	}
}

func TestHELOWhereEHLOIsNotKnown(t *testing.T) {
	for _, refusal := range []string{"500 what?", "502 5.5.1 no", "550 no", "504 no", "421 busy" + drop} {
		usual := has(true, "anna")
		h := newHost(t, func(d *dialogue, verb, arg string) string {
			if verb == "EHLO" {
				return refusal
			}
			return usual(d, verb, arg)
		})
		p := ofHost(t, h)
		want := policy.Unsure
		if strings.HasPrefix(refusal, "500") || strings.HasPrefix(refusal, "502") {
			want = policy.Yes
		}
		wantSays(t, p, "anna@d.test", want)
		if got := h.count("HELO") > 0; got != (want == policy.Yes) {
			t.Errorf("%q: HELO was said: %v", refusal, got)
		}
	}
}

// No connection carries more than it may, whatever it is used for: calibrations
// in the midst of it, many domains, VRFY for one and RCPT for the other.
func TestNoConnectionCarriesMoreThanItsBudget(t *testing.T) {
	byVRFY, byRCPT := has(true, "anna"), has(false, "anna")
	for name, answer := range map[string]answerer{
		"VRFY": byVRFY,
		"RCPT": byRCPT,
		"vague refusals, with a control": func(d *dialogue, verb, arg string) string {
			switch {
			case verb == "VRFY":
				return "252 no"
			case verb == "RCPT" && !isAbout(arg, "anna") && !isAbout(arg, "postmaster"):
				return "550 Unrouteable address"
			case verb == "RCPT":
				return "250 Accepted"
			}
			return ""
		},
		"one domain by VRFY, the other by RCPT": func(d *dialogue, verb, arg string) string {
			if strings.Contains(arg, "1.test") || strings.Contains(arg, "3.test") {
				return byRCPT(d, verb, arg)
			}
			return byVRFY(d, verb, arg)
		},
		"VRFY that cannot tell each": func(d *dialogue, verb, arg string) string {
			if verb == "VRFY" && isAbout(arg, "anna") {
				return "252 2.0.0 try RCPT"
			}
			return byVRFY(d, verb, arg)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, answer)
			p := ofHost(t, h, func(c *Config) { c.Connections = 2 })
			var asking sync.WaitGroup
			for i := range 4 {
				asking.Go(func() {
					for n := range 30 {
						domain := fmt.Sprintf("@d%d.test", (i+n/3)%5)
						wantSays(t, p, "anna"+domain, policy.Yes)
						wantSays(t, p, fmt.Sprintf("nobody%d%s", n, domain), policy.No)
					}
				})
			}
			asking.Wait()
			settle(t, p)
			p.Close()
			wantWithinBudget(t, h)
		})
	}
}

func wantWithinBudget(t *testing.T, h *fakeHost) {
	t.Helper()
	for i, lines := range h.heard() {
		n := func(prefix string) (n int) {
			for _, line := range lines {
				if strings.HasPrefix(line, prefix) {
					n++
				}
			}
			return n
		}
		refusals := n("VRFY nobody") + n("RCPT TO:<nobody") + n("RCPT TO:<postwhere")
		switch {
		case refusals > mostRefusals, n("VRFY") > mostVRFYs, n("MAIL") > 1, n("RSET")+n("NOOP")+n("DATA") > 0, n("EHLO") != 1:
			t.Errorf("connection %d: %q", i+1, lines)
		case lines[len(lines)-1] != "QUIT":
			t.Errorf("connection %d ended without QUIT: %q", i+1, lines)
		}
	}
}

func TestSMTPUTF8OnlyWhereOffered(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		for _, offered := range []bool{true, false} {
			usual := has(vrfy, "anna", "größe")
			h := newHost(t, func(d *dialogue, verb, arg string) string {
				if verb == "EHLO" && offered {
					return "250-fake.test\n250 SMTPUTF8"
				}
				return usual(d, verb, arg)
			})
			p := ofHost(t, h)
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantUTF8, wantStranger := policy.Unsure, policy.Unsure
			if offered {
				wantUTF8, wantStranger = policy.Yes, policy.No
			}
			wantSays(t, p, "größe@d.test", wantUTF8)
			wantSays(t, p, "niemandß@d.test", wantStranger)
			wantSays(t, p, "nobody@d.test", policy.No)
			p.Close()
			wantUTF8Only(t, h, offered)
		}
	}
}

// The first question may be one that needs SMTPUTF8: the transaction that was
// opened for the nonsense address takes no such recipient.
func TestSMTPUTF8ToAHostThatIsNotCalibrated(t *testing.T) {
	usual := has(false, "größe")
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		switch {
		case verb == "EHLO":
			return "250-fake.test\n250 SMTPUTF8"
		case verb == "RCPT" && strings.Contains(arg, "ß") && d.count("MAIL FROM:<> SMTPUTF8") == 0:
			return "550 5.1.1 <" + arg + ">: no such user" // as it would say of garbled octets
		}
		return usual(d, verb, arg)
	})
	p := ofHost(t, h)
	wantSays(t, p, "größe@d.test", policy.Yes)
	p.Close()
	wantUTF8Only(t, h, true)
}

// wantUTF8Only: what is not ASCII is said with SMTPUTF8, and only where that was
// offered; nothing else is.
func wantUTF8Only(t *testing.T, h *fakeHost, offered bool) {
	t.Helper()
	for _, lines := range h.heard() {
		mail := slices.Contains(lines, "MAIL FROM:<> SMTPUTF8")
		for _, line := range lines {
			declared := strings.HasSuffix(line, " SMTPUTF8") || strings.HasPrefix(line, "RCPT") && mail
			if !isASCII(line) && !declared || strings.Contains(line, "SMTPUTF8") && !offered {
				t.Errorf("%q in %q", line, lines)
			}
		}
	}
}

// The configuration may hold what an address never does.
func TestLineThatWouldBreakTheDialogueIsNotSent(t *testing.T) {
	for _, evil := range []string{"x@d.test>\r\nRCPT TO:<y@d.test", "x\n@d.test", "x\x00@d.test", "x\u0085@d.test"} {
		h := newHost(t, func(_ *dialogue, verb, _ string) string {
			if verb == "RCPT" {
				return "550 unknown"
			}
			return ""
		})
		p := ofHost(t, h, func(c *Config) { c.Control = evil })
		wantSays(t, p, "anna@d.test", policy.Unsure)
		p.Close()
		if h.count("RCPT") != h.count("RCPT TO:<postwhere") || h.count("x")+h.count("@d.test") > 0 {
			t.Errorf("%q: %q", evil, h.heard())
		}
	}
	if _, err := newWire(nil).command("VRFY x\r\nQUIT"); err == nil {
		t.Error("sent")
	}
}

// An address that is nobody's never becomes a no.
func TestZeroAddressIsNoNo(t *testing.T) {
	h := newHost(t, has(true))
	p := ofHost(t, h)
	for _, a := range []policy.Address{{}, policy.Address{}.At("d.test")} {
		if got := p.Ask(context.Background(), a); got.Says != policy.Unsure || h.connections() > 0 {
			t.Errorf("%v: %s %q", a, got.Says, got.Reply)
		}
	}
}
