package probe

import (
	"sync/atomic"
	"testing"

	"postwhere/policy"
)

// The stages that a host gets to see only if it is so configured: none of what may
// come there instead of a reply is a no.
func TestNoTroubleIsANoAtTheRarerStages(t *testing.T) {
	encrypt := func(level TLSLevel) func(*Config) { return func(c *Config) { c.Security.Level = level } }
	login := func(c *Config) { c.Security = Security{Level: TLSNone, User: authUser, Secret: authSecret} }
	lmtp := func(c *Config) { c.Endpoint.LMTP = true }
	second := func(c *Config) { c.SecondSender = "probe@front.test" }
	for stage, c := range map[string]struct {
		verb   string
		answer answerer
		change func(*Config)
		mayAsk bool // what follows may be asked all the same
	}{
		"STARTTLS, may":     {"STARTTLS", offers("STARTTLS"), encrypt(TLSMay), true},
		"STARTTLS, encrypt": {"STARTTLS", offers("STARTTLS"), encrypt(TLSEncrypt), false},
		"AUTH":              {"AUTH", offers("AUTH PLAIN"), login, false},
		"LHLO":              {"LHLO", has(false, "anna"), lmtp, false},
		"MAIL by LMTP":      {"MAIL", has(false, "anna"), lmtp, false},
		"RCPT by LMTP":      {"RCPT", has(false, "anna"), lmtp, false},
		"the second sender": {"MAIL", replyTo("MAIL", "FROM:<>", "550 5.7.1 no null sender", has(false, "anna")), second, false},
	} {
		for name, trouble := range troubles {
			if name == "no of the greeting" && stage == "RCPT by LMTP" {
				continue
			}
			t.Run(name+" at "+stage, func(t *testing.T) {
				h := newHost(t, func(d *dialogue, verb, arg string) string {
					if verb == c.verb && (stage != "the second sender" || arg != "FROM:<>") {
						return troubleOr(trouble)
					}
					return c.answer(d, verb, arg)
				})
				p := ofHost(t, h, c.change)
				for who, right := range map[string]policy.Says{"anna": policy.Yes, "nobody": policy.No} {
					if got := ask(t, p, who+"@d.test"); got.Says != policy.Unsure && !(c.mayAsk && got.Says == right) {
						t.Errorf("%s: %s %s %q", who, got.Says, got.Method, got.Reply)
					}
				}
				if n := h.connections(); n > 8 {
					t.Errorf("%d connections for two questions", n)
				}
			})
		}
	}
}

// What comes instead of a reply about the control address, or about a witness, is
// no no to the stranger that it was to vouch for, unless it vouches.
func TestTroubleWithWhoVouchesIsNoNo(t *testing.T) {
	for name, trouble := range troubles {
		if name == "no of the greeting" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			usual := vaguely("anna", "postmaster")
			p := ofHost(t, newHost(t, func(d *dialogue, verb, arg string) string {
				if verb == "RCPT" && isAbout(arg, "postmaster") {
					return troubleOr(trouble)
				}
				return usual(d, verb, arg)
			}))
			wantSays(t, p, "nobody@d.test", policy.Unsure)
			var vouching atomic.Bool
			tells := has(false, "anna")
			p = ofHost(t, newHost(t, func(d *dialogue, verb, arg string) string {
				if verb == "RCPT" && isAbout(arg, "anna") && vouching.Load() {
					return troubleOr(trouble)
				}
				return tells(d, verb, arg)
			}))
			wantSays(t, p, "anna@d.test", policy.Yes)
			vouching.Store(true)
			grewOld(p, "d.test", witnessFresh)
			wantSays(t, p, "nobody@d.test", policy.Unsure)
		})
	}
}
