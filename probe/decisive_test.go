package probe

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"postwhere/policy"
)

// "No such mailbox", by its code, of which the text says that it is about us, the
// sender or a rule: it counts as a vague no does, only from a host that is known to
// say just that of strangers, and that accepts somebody.
func TestDecisiveCodeWithATextAboutUsIsNoNo(t *testing.T) {
	for _, text := range []string{
		"Sender address rejected: User unknown", "<front.test[192.0.2.1]>: Client host rejected", "your host is on our blacklist", "Greylisted, try again later",
		"Rejected for too many bad recipients", "we do not relay", "looks like spam",
	} {
		for _, vrfy := range []bool{true, false} {
			var troubled atomic.Bool
			usual := has(vrfy, "anna", "postmaster")
			h := newHost(t, func(d *dialogue, verb, arg string) string {
				if troubled.Load() && (verb == "VRFY" && vrfy || verb == "RCPT") {
					return "550 5.1.1 " + text
				}
				return usual(d, verb, arg)
			})
			t.Run(fmt.Sprintf("%s, VRFY %v", text, vrfy), func(t *testing.T) {
				p := ofHost(t, h)
				wantSays(t, p, "nobody@d.test", policy.No)
				troubled.Store(true)
				wantSays(t, p, "anna@d.test", policy.Unsure)
				p = ofHost(t, h) // and if it says so from the beginning
				wantSays(t, p, "anna@d.test", policy.Unsure)
			})
		}
	}
}

// A host may have such a word in its name, or for its table.
func TestDecisiveCodeWithSuchAWordInEveryRefusal(t *testing.T) {
	for name, tt := range map[string]struct {
		behind  string
		control bool
	}{
		"its name":                    {"User unknown (relay1.provider.test)", true},
		"Postfix, relay domain":       {"Recipient address rejected: User unknown in relay recipient table", false},
		"Postfix, under another code": {"Recipient address rejected: Access denied", true},
	} {
		t.Run(name, func(t *testing.T) {
			usual := has(false, "anna", "postmaster")
			h := newHost(t, func(d *dialogue, verb, arg string) string {
				said := usual(d, verb, arg)
				if verb == "RCPT" && strings.HasPrefix(said, "550") {
					return "550 5.1.1 " + strings.TrimPrefix(arg, "TO:") + ": " + tt.behind
				}
				return said
			})
			p := ofHost(t, h)
			wantSays(t, p, "nobody@d.test", policy.No)
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "nobody@d.test", policy.No)
			if got := h.count("RCPT TO:<postmaster") > 0; got != tt.control {
				t.Errorf("its control was asked about: %v", got)
			}
		})
	}
}
