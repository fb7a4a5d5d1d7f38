package probe

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// ofFarHost makes a Prober that puts the questions of many into pipes, and has
// calibrated the host.
func ofFarHost(t *testing.T, h *fakeHost, timeout time.Duration) *Prober {
	t.Helper()
	p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 2, timeout })
	wantSays(t, p, "nobody@d.test", policy.No)
	p.cfg.learnt.pace.mu.Lock()
	p.cfg.learnt.pace.usual = [2]time.Duration{10 * far, 10 * far}
	p.cfg.learnt.pace.mu.Unlock()
	return p
}

// piped makes a host that offers PIPELINING; that has mailboxes whose local parts
// begin with anna; and that says to the nth RCPT of each connection but the first
// one what trouble makes of its reply.
func piped(n int, trouble func(said string) string) answerer {
	return func(d *dialogue, verb, arg string) string {
		address := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")
		said := ""
		switch {
		case verb == "EHLO":
			return "250-fake.test\n250 PIPELINING"
		case verb == "RCPT" && strings.HasPrefix(address, "anna"):
			said = "250 2.1.5 Ok"
		case verb == "RCPT":
			said = fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown", address)
		}
		if verb == "RCPT" && d.n > 1 && d.count("RCPT") == n {
			return trouble(said)
		}
		return said
	}
}

// askMany asks about 40 mailboxes and 40 strangers at once, and returns how many
// answers were which.
func askMany(t *testing.T, p *Prober, wrong func(exists bool, got policy.Answer) bool) map[policy.Says]int {
	t.Helper()
	var mu sync.Mutex
	count := map[policy.Says]int{}
	var asking sync.WaitGroup
	for i := range 80 {
		who := []string{"anna", "nobody"}[i%2]
		asking.Go(func() {
			got := ask(t, p, fmt.Sprintf("%s%d@d.test", who, i))
			mu.Lock()
			defer mu.Unlock()
			count[got.Says]++
			if wrong(who == "anna", got) {
				t.Errorf("%s%d: %s %q %s", who, i, got.Says, got.Reply, got.Why)
			}
		})
	}
	asking.Wait()
	return count
}

func TestPipedQuestionsAreAnsweredRight(t *testing.T) {
	h := newHost(t, piped(0, nil))
	count := askMany(t, ofFarHost(t, h, patience), func(exists bool, got policy.Answer) bool {
		return got.Says != map[bool]policy.Says{true: policy.Yes, false: policy.No}[exists]
	})
	if count[policy.Yes] != 40 || count[policy.No] != 40 {
		t.Error(count)
	}
}

// Whatever comes between the replies in a pipe, and whatever is left out: no
// mailbox is refused by what was said of another.
func TestNoTroubleInAPipeIsANo(t *testing.T) {
	troubled := map[string]func(string) string{
		"twice":            func(said string) string { return said + "\n" + said },
		"a no before it":   func(said string) string { return unasked + "\n" + said },
		"a no behind it":   func(said string) string { return said + "\n" + unasked },
		"a bare no before": func(said string) string { return "550 5.1.1 User unknown\n" + said },
		"left out":         func(string) string { return mute },
		"left out, drop":   func(string) string { return drop },
		"421 behind":       func(said string) string { return said + "\n421 4.7.0 too many errors" + drop },
	}
	for name, trouble := range troubles {
		if name != "no of the greeting" {
			troubled[name] = func(string) string { return troubleOr(trouble) }
		}
	}
	for name, trouble := range troubled {
		for _, n := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s at %d", name, n), func(t *testing.T) {
				h := newHost(t, piped(n, trouble))
				timeout := patience
				if name == "left out" {
					timeout = 50 * time.Millisecond
				}
				askMany(t, ofFarHost(t, h, timeout), func(exists bool, got policy.Answer) bool { return exists && got.Says == policy.No })
			})
		}
	}
}
