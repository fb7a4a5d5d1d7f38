package probe

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// crowdHost makes a host that is half a second away, offers PIPELINING and has
// mailboxes whose local parts begin with anna; trouble may make another reply of
// what it says.
func crowdHost(trouble func(d *dialogue, verb, arg, said string) string) *fakeHost {
	return newPipeHost(func(d *dialogue, verb, arg string) string {
		said := usual(verb)
		switch address := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>"); {
		case verb == "EHLO":
			said = "250-fake.test\n250 PIPELINING"
		case verb == "RCPT" && strings.HasPrefix(address, "anna"):
			said = "250 2.1.5 Ok"
		case verb == "RCPT":
			said = fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown", address)
		}
		if trouble != nil {
			said = trouble(d, verb, arg, said)
		}
		if verb == "MAIL" || verb == "VRFY" || verb == "EHLO" {
			time.Sleep(500 * time.Millisecond)
		}
		return said
	})
}

// askAtOnce asks about these many strangers, or mailboxes, at once, and returns
// the answers.
func askAtOnce(t *testing.T, p *Prober, format string, n int) []policy.Answer {
	t.Helper()
	answers := make([]policy.Answer, n)
	var asking sync.WaitGroup
	for i := range answers {
		asking.Go(func() { answers[i] = ask(t, p, fmt.Sprintf(format, i)) })
	}
	asking.Wait()
	return answers
}

func wantEach(t *testing.T, answers []policy.Answer, want policy.Says) {
	t.Helper()
	for i, got := range answers {
		if got.Says != want {
			t.Errorf("question %d: %s %q %s, want %s", i, got.Says, got.Reply, got.Why, want)
		}
	}
}

// rcpts returns how many questions each connection carried, of those that did.
func rcpts(h *fakeHost) (each []int) {
	for _, lines := range h.heard("RCPT") {
		if len(lines) > 0 {
			each = append(each, len(lines))
		}
	}
	return each
}

func TestACrowdFillsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(nil)
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 4 })
		wantSays(t, p, "nobody@d.test", policy.No)
		begun := time.Now()
		wantEach(t, askAtOnce(t, p, "stranger%d@d.test", 60), policy.No)
		took := time.Since(begun)
		p.Close()
		// A connection bears eight or nine refusals, and takes a second to fill.
		if n := len(rcpts(h)); n > 60/8+3 {
			t.Errorf("%d connections for 60 questions: %v", n, rcpts(h))
		}
		if took > 4*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// A question that comes while another waits for its reply does not wait for it, though
// there is one connection only.
func TestAQuestionInACrowdDoesNotWaitForTheReplyToAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := &distantHost{owns: "anna"}
		p := ofHost(t, &fakeHost{}, func(c *Config) { c.Method, c.Connections, c.dial = RCPT, 1, host.dial })
		wantSays(t, p, "nobody@d.test", policy.No)
		p.asking.Add(10) // a crowd
		defer p.asking.Add(-10)
		var asking sync.WaitGroup
		for i, who := range []string{"anna", "bert", "annabel", "carl", "annamaria"} {
			asking.Go(func() {
				time.Sleep(time.Duration(i) * roundTrip / 8)
				begun := time.Now()
				got := ask(t, p, who+"@d.test")
				took := time.Since(begun)
				t.Logf("%s: %s after %s", who, got.Says, took)
				if want := map[bool]policy.Says{true: policy.Yes, false: policy.No}[strings.HasPrefix(who, "anna")]; got.Says != want {
					t.Errorf("%s: %s %s", who, got.Says, got.Why)
				}
				// A yes waits for the refusal behind it.
				if took > roundTrip*13/10 {
					t.Errorf("%s: after %s", who, took)
				}
			})
		}
		asking.Wait()
		p.Close()
		host.running.Wait()
		if n := host.sessions.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

// A connection over which the host says nothing more, be it within a line, keeps those
// who ask later from nothing.
func TestASilentConnectionGetsNoMoreOfACrowd(t *testing.T) {
	for _, silence := range []string{hang, "250-2.1…" + hang} {
		synctest.Test(t, func(t *testing.T) { silentInACrowd(t, silence) })
	}
}

func silentInACrowd(t *testing.T, silence string) {
	h := crowdHost(func(_ *dialogue, verb, arg, said string) string {
		if verb == "RCPT" && isAbout(arg, "silence") {
			return silence
		}
		return said
	})
	p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 2, 20*time.Second })
	wantSays(t, p, "nobody@d.test", policy.No)
	p.asking.Add(10) // a crowd
	defer p.asking.Add(-10)
	var asking sync.WaitGroup
	asking.Go(func() { ask(t, p, "silence@d.test") })
	time.Sleep(2 * time.Second)
	for i := range 5 {
		asking.Go(func() {
			begun := time.Now()
			if got := ask(t, p, fmt.Sprintf("anna%d@d.test", i)); got.Says != policy.Yes || time.Since(begun) > 5*time.Second {
				t.Errorf("%s after %s: %s", got.Says, time.Since(begun), got.Why)
			}
		})
	}
	asking.Wait()
}

// Connections that lie ready, but bear no calibration any more, are renewed, and
// not looked at again and again.
func TestACrowdOfAnotherDomainIsCalibrated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(nil)
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 1 })
		for i := range 5 { // with the calibration, six refusals
			wantSays(t, p, fmt.Sprintf("nobody%d@d.test", i), policy.No)
		}
		wantEach(t, askAtOnce(t, p, "stranger%d@other.test", 10), policy.No)
		p.Close()
		if n := h.connections(); n > 5 {
			t.Errorf("%d connections", n)
		}
	})
}

// A connection takes a hundred RCPT, and may do for VRFY after that.
func TestACrowdThatIsNeverRefusedChangesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(nil)
		p := ofHost(t, h, func(c *Config) { c.Connections = 2 })
		wantSays(t, p, "nobody@d.test", policy.No)
		for i := range 10 {
			wantEach(t, askAtOnce(t, p, fmt.Sprintf("anna%d.%%d@d.test", i), 100), policy.Yes)
		}
		p.Close()
		if n := h.connections(); n < 10 || n > 30 {
			t.Errorf("%d connections", n)
		}
	})
}

// A host that does not repeat the address, or a domain of which it accepts all, is
// asked one by one, and the other domains are not.
func TestWhatAPipeCannotTellIsAskedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(func(_ *dialogue, verb, arg, said string) string {
			if verb == "RCPT" && strings.Contains(arg, "@short.test") {
				return "550 5.1.1 User unknown"
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 4 })
		wantSays(t, p, "nobody@d.test", policy.No)
		wantEach(t, askAtOnce(t, p, "stranger%d@short.test", 20), policy.No)
		if !p.crowd.resting("short.test", time.Now()) || p.crowd.resting("d.test", time.Now()) {
			t.Error("short.test is asked in pipes, or d.test is not")
		}
		wantEach(t, askAtOnce(t, p, "anna%d@d.test", 20), policy.Yes)
	})
}

// Postfix holds accepted recipients back when too many messages were begun.
func TestAHostThatHoldsAcceptedRecipientsBackIsAskedOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var accepted atomic.Int32
		h := crowdHost(func(_ *dialogue, verb, _, said string) string {
			if verb == "RCPT" && strings.HasPrefix(said, "250") && accepted.Add(1) > 50 {
				time.Sleep(2 * time.Second)
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 4 })
		wantSays(t, p, "nobody@d.test", policy.No)
		wantEach(t, askAtOnce(t, p, "anna%d@d.test", 80), policy.Yes)
		if !p.crowd.resting("any.test", time.Now()) {
			t.Error("it is asked in pipes yet")
		}
	})
}

func TestWhoIsGoneFromTheLineIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(nil)
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 1 })
		wantSays(t, p, "nobody@d.test", policy.No)
		var asking sync.WaitGroup
		asking.Go(func() { wantEach(t, askAtOnce(t, p, "stranger%d@d.test", 20), policy.No) })
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if got := p.Ask(ctx, address(t, "late@d.test")); got.Says != policy.Unsure {
			t.Error(got)
		}
		asking.Wait()
		if n := h.count("RCPT TO:<late@"); n > 0 {
			t.Errorf("it was asked about %d times", n)
		}
	})
}

// A host that has gone is unsure for all of the line, at once.
func TestACrowdOfAHostThatIsDownIsUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		h := crowdHost(func(_ *dialogue, verb, _, said string) string {
			if down.Load() && (verb == "RCPT" || verb == "GREETING") {
				return drop
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 4 })
		wantSays(t, p, "nobody@d.test", policy.No)
		down.Store(true)
		begun := time.Now()
		wantEach(t, askAtOnce(t, p, "stranger%d@d.test", 60), policy.Unsure)
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		if n := h.connections(); n > 20 {
			t.Errorf("%d connections to a host that is down", n)
		}
	})
}

func TestACrowdIsAnsweredWhenTheProberCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ofHost(t, crowdHost(nil), func(c *Config) { c.Method, c.Connections = RCPT, 2 })
		wantSays(t, p, "nobody@d.test", policy.No)
		var asking sync.WaitGroup
		asking.Go(func() {
			for _, got := range askAtOnce(t, p, "anna%d@d.test", 60) {
				if got.Says == policy.No {
					t.Error(got)
				}
			}
		})
		time.Sleep(700 * time.Millisecond) // in the midst of a round
		p.Close()
		asking.Wait()
	})
}
