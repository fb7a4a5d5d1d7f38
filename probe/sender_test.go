package probe

import (
	"strings"
	"testing"

	"postwhere/policy"
)

// refusesNullSender is a host that has anna, and wants to know who asks.
func refusesNullSender(d *dialogue, verb, arg string) string {
	if verb == "MAIL" && strings.Contains(arg, "<>") {
		return "550 5.7.1 null sender refused"
	}
	return has(false, "anna")(d, verb, arg)
}

func TestHostThatRefusesTheNullSenderIsAskedWithAnother(t *testing.T) {
	h := newHost(t, refusesNullSender)
	p := ofHost(t, h, func(c *Config) { c.SecondSender = "postmaster@front.test" })
	wantSays(t, p, "anna@d.test", policy.Yes)
	wantSays(t, p, "nobody@d.test", policy.No)
	if h.count("MAIL FROM:<postmaster@front.test>") == 0 {
		t.Errorf("%q", h.heard())
	}
}

func TestRefusedSenderIsNoAnswer(t *testing.T) {
	h := newHost(t, refusesNullSender)
	p := ofHost(t, h)
	wantSays(t, p, "anna@d.test", policy.Unsure)
	wantSays(t, p, "nobody@d.test", policy.Unsure)
	own := ofHost(t, h, func(c *Config) { c.Sender, c.SecondSender = "probe@front.test", "postmaster@front.test" })
	wantSays(t, own, "anna@d.test", policy.Yes)
}
