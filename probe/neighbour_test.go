package probe

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// lineUp asks about these addresses at once, in one round of one connection, in
// this order.
func lineUp(t *testing.T, p *Prober, addresses ...string) []policy.Answer {
	t.Helper()
	p.cfg.learnt.pace.mu.Lock()
	p.cfg.learnt.pace.usual = [2]time.Duration{10 * time.Second, 10 * time.Second} // gather waits 200 ms
	p.cfg.learnt.pace.mu.Unlock()
	p.asking.Add(100) // a crowd
	defer p.asking.Add(-100)
	answers := make([]policy.Answer, len(addresses))
	var asking sync.WaitGroup
	for i, a := range addresses {
		asking.Go(func() { answers[i] = ask(t, p, a) })
		for range 100 {
			if p.crowd.waiting() > i {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	asking.Wait()
	for i, a := range addresses {
		t.Logf("%s: %s %q %s", a, answers[i].Says, answers[i].Reply, answers[i].Why)
	}
	return answers
}

// only makes a host with PIPELINING that has just these; behind is at the end of
// each refusal, and trouble makes of the reply to a RCPT what is said.
func only(behind string, trouble func(d *dialogue, address, said string) string, mailboxes ...string) answerer {
	return func(d *dialogue, verb, arg string) string {
		address := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")
		switch {
		case verb == "EHLO":
			return "250-fake.test\n250 PIPELINING"
		case verb == "RCPT":
			said := fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown%s", address, behind)
			if slices.Contains(mailboxes, address) {
				said = "250 2.1.5 Ok"
			}
			return trouble(d, address, said)
		}
		return ""
	}
}

func twice(_ *dialogue, _, said string) string { return "250 2.1.5 Ok\n" + said }

func less(*dialogue, string, string) string { return mute }

// In a round with a reply too many or too few, no mailbox is refused by what was
// said of another whose name contains it, and no host is said to have a mailbox
// that its neighbour in the round has.
func TestNeighboursInARoundAreToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		behind, at string // whose reply is in trouble
		trouble    func(d *dialogue, address, said string) string
		exists     string
		order      []string
	}{
		"suffix domain":       {"", "anna@d.test.au", twice, "anna@d.test", []string{"anna@d.test.au", "anna@d.test"}},
		"suffix domain, less": {"", "anna@d.test", less, "anna@d.test", []string{"anna@d.test", "anna@d.test.au"}},
		"apostrophe":          {"", "o'neil@d.test", twice, "neil@d.test", []string{"o'neil@d.test", "neil@d.test"}},
		"case":                {"", "Anna@d.test", twice, "anna@d.test", []string{"Anna@d.test", "anna@d.test"}},
		"joanna":              {"", "joanna@d.test", twice, "anna@d.test", []string{"joanna@d.test", "anna@d.test"}},
		"joanna, postmaster":  {", write to postmaster@d.test", "joanna@d.test", twice, "anna@d.test", []string{"joanna@d.test", "anna@d.test"}},
		"postmaster":          {", write to postmaster@d.test", "stranger@d.test", twice, "postmaster@d.test", []string{"stranger@d.test", "postmaster@d.test"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, only(c.behind, func(d *dialogue, address, said string) string {
				if address == c.at {
					return c.trouble(d, address, said)
				}
				return said
			}, c.exists, "postmaster@d.test")) // the control of a host that names it to everybody
			p := ofHost(t, h, func(cfg *Config) { cfg.Method, cfg.Connections, cfg.ReplyTimeout = RCPT, 2, time.Second })
			wantSays(t, p, "nobody@d.test", policy.No)
			if strings.HasPrefix(name, "suffix") {
				wantSays(t, p, "nobody@d.test.au", policy.No)
			}
			for i, got := range lineUp(t, p, c.order...) {
				switch {
				case c.order[i] == c.exists && got.Says == policy.No:
					t.Errorf("refused: %s by %q", c.order[i], got.Reply)
				case c.order[i] != c.exists && got.Says == policy.Yes:
					t.Errorf("%s is there: %q", c.order[i], got.Reply)
				}
			}
		})
	}
}
