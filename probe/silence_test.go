package probe

import (
	"context"
	"strings"
	"testing"
	"time"

	"postwhere/policy"
)

// offers makes a host that offers extensions, and has anna.
func offers(extensions ...string) answerer {
	tells := has(true, "anna")
	return func(d *dialogue, verb, arg string) string {
		if verb == "EHLO" {
			return "250-fake.test\n250-" + strings.Join(extensions, "\n250-") + "\n250 ENHANCEDSTATUSCODES"
		}
		return tells(d, verb, arg)
	}
}

// The stages at which a plain host by VRFY or RCPT may fall silent are
// stagesOfSilence. These are the others.
func TestSilenceAtTheRarerStages(t *testing.T) {
	encrypt := func(c *Config) { c.Security.Level = TLSEncrypt }
	login := func(c *Config) { c.Security = Security{Level: TLSNone, User: authUser, Secret: authSecret} }
	lmtp := func(c *Config) { c.Endpoint.LMTP = true }
	for name, c := range map[string]struct {
		answer answerer
		change func(*Config)
	}{
		"STARTTLS":                  {hangAt("STARTTLS", "", offers("STARTTLS")), encrypt},
		"the handshake":             {replyAt("STARTTLS", "220 2.0.0 Ready to start TLS"+hang, offers("STARTTLS")), encrypt},
		"half of STARTTLS":          {replyAt("STARTTLS", "220 2.0…"+hang, offers("STARTTLS")), encrypt},
		"AUTH":                      {hangAt("AUTH", "", offers("AUTH PLAIN")), login},
		"half of AUTH":              {replyAt("AUTH", "235 2.7.0 Auth…"+hang, offers("AUTH PLAIN")), login},
		"LHLO":                      {hangAt("LHLO", "", has(false, "anna")), lmtp},
		"MAIL, by LMTP":             {hangAt("MAIL", "", has(false, "anna")), lmtp},
		"RCPT, by LMTP":             {hangAt("RCPT", "TO:<anna", has(false, "anna")), lmtp},
		"half a greeting":           {replyAt("GREETING", "220 fake…"+hang, has(true, "anna")), nil},
		"a greeting without end":    {replyAt("GREETING", "220-fake.test"+hang, has(true, "anna")), nil},
		"half of EHLO":              {replyAt("EHLO", "250-fake.test"+hang, has(true, "anna")), nil},
		"half a no":                 {replyTo("VRFY", "anna", "550 5.1.1 <anna@d.test>: User unkn…"+hang, has(true, "anna")), nil},
		"a no and no last line":     {replyTo("VRFY", "anna", "550-5.1.1 <anna@d.test>: User unknown"+hang, has(true, "anna")), nil},
		"half a no, by RCPT":        {replyTo("RCPT", "anna", "550 5.1.1 <anna@d.test>: User unkn…"+hang, has(false, "anna")), nil},
		"a no and no end, by RCPT":  {replyTo("RCPT", "anna", "550 5.1.1 <anna@d.test>: User unknown\r…"+hang, has(false, "anna")), nil},
		"half a yes, by RCPT":       {replyTo("RCPT", "anna", "250-2.1.5 Ok"+hang, has(false, "anna")), nil},
		"half a no of the nonsense": {replyTo("VRFY", "postwhere", "550 5.1.1 <postw…"+hang, has(true, "anna")), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change == nil {
				c.change = func(*Config) {}
			}
			inBubble(t, c.answer, func(b bubble) {
				t, h, p := b.open()
				start := time.Now()
				wantSays(t, p, "anna@d.test", policy.Unsure)
				if took := time.Since(start); took < 10*time.Second || took > 21*time.Second {
					t.Errorf("after %v", took)
				}
				if n := h.connections(); n > 2 {
					t.Errorf("%d connections for one question", n)
				}
			}, c.change)
		})
	}
}

// replyAt makes a host that says something of its own to a command.
func replyAt(verb, reply string, else_ answerer) answerer { return replyTo(verb, "", reply, else_) }

// replyTo does so where the command is about an address that begins so.
func replyTo(verb, local, reply string, else_ answerer) answerer {
	return func(d *dialogue, v, arg string) string {
		if v == verb && isAbout(arg, local) {
			return reply
		}
		return else_(d, v, arg)
	}
}

// A host may greet late, to see who does not wait (Sendmail's greet_pause, Exim's
// delay). Beyond reply_timeout it is down, and its late greeting is no answer to
// anything; within it, it is asked as others are.
func TestHostThatGreetsAfter30Seconds(t *testing.T) {
	for timeout, want := range map[time.Duration][2]policy.Says{
		10 * time.Second: {policy.Unsure, policy.Unsure},
		40 * time.Second: {policy.Yes, policy.No},
	} {
		for _, greeting := range []string{"", "250 2.1.5 Ok", unasked} { // what comes so late
			right := want
			if greeting == unasked {
				right = [2]policy.Says{policy.Unsure, policy.Unsure}
			}
			tells := has(true, "anna")
			inBubble(t, func(d *dialogue, verb, arg string) string {
				if verb == "GREETING" {
					time.Sleep(30 * time.Second)
					return greeting
				}
				return tells(d, verb, arg)
			}, func(b bubble) {
				t, _, p := b.open()
				for range 3 { // the host is tried in the background meanwhile
					start := time.Now()
					wantOneOf(t, p, "anna@d.test", right[0], greeting != "")
					wantOneOf(t, p, "nobody@d.test", right[1], greeting != "")
					if took := time.Since(start); took > 41*time.Second {
						t.Errorf("two answers after %v", took)
					}
					time.Sleep(20 * time.Second)
				}
				p.Close()
				time.Sleep(time.Minute) // until the host has greeted whom it will
			}, func(c *Config) { c.ReplyTimeout = timeout })
		}
	}
}

// wantOneOf asks, and takes Unsure, too, if the host is odd.
func wantOneOf(t *testing.T, p *Prober, s string, want policy.Says, odd bool) {
	t.Helper()
	if got := p.Ask(t.Context(), address(t, s)); got.Says != want && (!odd || got.Says != policy.Unsure) {
		t.Errorf("%s: %s (%q %s), want %s", s, got.Says, got.Reply, got.Why, want)
	}
}

// An asker may have less time than the host is given to greet. His giving up says
// nothing of the host, and does not keep the next one from asking it.
func TestAskerWhoGivesUpADialDoesNotTakeTheHostDown(t *testing.T) {
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "GREETING" && d.n > 1 {
			time.Sleep(5 * time.Second)
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		for _, held := range p.pool.AcquireAllIdle() {
			held.Value().born = time.Now().Add(-maxAge - time.Second)
			held.ReleaseUnused()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if got := p.Ask(ctx, address(t, "anna@d.test")); got.Says != policy.Unsure || got.Took > 3*time.Second {
			t.Errorf("%s after %v", got.Says, got.Took)
		}
		if err := p.health.err(); err != nil {
			t.Errorf("the host is taken to be down: %v", err)
		}
		wantSays(t, p, "anna@d.test", policy.Yes)
		p.Close()
		time.Sleep(time.Minute)
	})
}
