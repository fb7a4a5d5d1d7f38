package probe

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// hangAt makes a host that falls silent at a command about an address that
// begins with prefix.
func hangAt(verb, prefix string, else_ answerer) answerer {
	return func(d *dialogue, v, arg string) string {
		if v == verb && (prefix == "" || len(arg) >= len(prefix) && arg[:len(prefix)] == prefix) {
			return hang
		}
		return else_(d, v, arg)
	}
}

// stagesOfSilence are those at which a host may fall silent.
var stagesOfSilence = []struct {
	verb, prefix string
	vrfy         bool
}{
	{"GREETING", "", true}, {"EHLO", "", true}, {"VRFY", "postwhere", true}, {"VRFY", "anna", true},
	{"MAIL", "", false}, {"RCPT", "TO:<postwhere", false}, {"RCPT", "TO:<anna", false},
}

// asking starts a question and returns where its answer will be.
func asking(ctx context.Context, t *testing.T, p *Prober, who string) <-chan policy.Answer {
	t.Helper()
	a := address(t, who)
	answer := make(chan policy.Answer, 1)
	go func() { answer <- p.Ask(ctx, a) }()
	return answer
}

func wantAnswered(t *testing.T, answer <-chan policy.Answer, want policy.Says) {
	t.Helper()
	synctest.Wait()
	select {
	case got := <-answer:
		if got.Says != want {
			t.Errorf("%s (%q %s), want %s", got.Says, got.Reply, got.Why, want)
		}
	default:
		t.Error("not answered")
	}
}

func TestSilentHostIsUnsureAfterItsTime(t *testing.T) {
	for _, stage := range stagesOfSilence {
		inBubble(t, hangAt(stage.verb, stage.prefix, has(stage.vrfy, "anna")), func(b bubble) {
			t, h, p := b.open()
			start := time.Now()
			got := p.Ask(t.Context(), address(t, "anna@d.test"))
			if took := time.Since(start); got.Says != policy.Unsure || took < 10*time.Second || took > 21*time.Second {
				t.Errorf("%s %s: %s after %v", stage.verb, stage.prefix, got.Says, took)
			}
			if h.connections() > 2 {
				t.Errorf("%s %s: %d connections", stage.verb, stage.prefix, h.connections())
			}
		})
	}
}

func TestAskerWhoseTimeIsUpIsAnsweredAtOnce(t *testing.T) {
	for _, stage := range stagesOfSilence {
		for _, how := range []string{"deadline", "cancelled"} {
			inBubble(t, hangAt(stage.verb, stage.prefix, has(stage.vrfy, "anna")), func(b bubble) {
				t, _, p := b.open()
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				answer := asking(ctx, t, p, "anna@d.test")
				synctest.Wait()
				if how == "cancelled" {
					cancel()
				} else {
					time.Sleep(time.Second)
				}
				wantAnswered(t, answer, policy.Unsure)
				if took := time.Since(start); took > time.Second {
					t.Errorf("%s %s: after %v", stage.verb, stage.prefix, took)
				}
			})
		}
	}
}

func TestAskerWhoseTimeIsUpDoesNotWaitForADial(t *testing.T) {
	dialing := func(c *Config) {
		c.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done() // of the prober: Close ends it
			return nil, ctx.Err()
		}
	}
	inBubble(t, nil, func(b bubble) {
		t, _, p := b.open()
		ctx, cancel := context.WithCancel(t.Context())
		first, second := asking(ctx, t, p, "anna@d.test"), asking(ctx, t, p, "bert@d.test") // it waits for the first one's connection
		synctest.Wait()
		cancel()
		wantAnswered(t, first, policy.Unsure)
		wantAnswered(t, second, policy.Unsure)
		if got := p.Ask(ctx, address(t, "anna@d.test")); got.Says != policy.Unsure {
			t.Error(got.Says)
		}
	}, dialing)
}

// Askers wait for one calibration, each as long as he may. What goes wrong with
// the one who makes it is no matter of the others'.
func TestJoinedCalibrationOfAnAskerWhoGaveUp(t *testing.T) {
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && d.n == 1 {
			return hang
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		leaderCtx, leaderGone := context.WithCancel(t.Context())
		defer leaderGone()
		leader := asking(leaderCtx, t, p, "anna@d.test")
		synctest.Wait()
		hastyCtx, hastyGone := context.WithCancel(t.Context())
		defer hastyGone()
		hasty, patient := asking(hastyCtx, t, p, "anna@d.test"), asking(t.Context(), t, p, "nobody@d.test")
		synctest.Wait()
		hastyGone()
		wantAnswered(t, hasty, policy.Unsure)
		leaderGone()
		wantAnswered(t, leader, policy.Unsure)
		wantAnswered(t, patient, policy.No)
		if n := h.count("VRFY postwhere"); n != 2 {
			t.Errorf("calibrated %d times, want one that failed and one", n)
		}
	}, func(c *Config) { c.Connections = 3 })
}

// Where the host itself is silent, those who waited do not wait again, one after
// the other.
func TestJoinedCalibrationOfASilentHost(t *testing.T) {
	inBubble(t, hangAt("VRFY", "postwhere", has(true)), func(b bubble) {
		t, h, p := b.open()
		start := time.Now()
		var answers []<-chan policy.Answer
		for range 5 {
			answers = append(answers, asking(t.Context(), t, p, "anna@d.test"))
		}
		time.Sleep(10 * time.Second)
		for _, answer := range answers {
			wantAnswered(t, answer, policy.Unsure)
		}
		if took := time.Since(start); took > 10*time.Second || h.connections() > 5 {
			t.Errorf("after %v, %d connections", took, h.connections())
		}
	}, func(c *Config) { c.Connections = 5 })
}

// Close lets a question under way be answered, and ends each connection by QUIT.
func TestCloseWaitsForQuestionsUnderWay(t *testing.T) {
	tells := has(true, "anna")
	release := make(chan struct{})
	synctest.Test(t, func(t *testing.T) {
		release = make(chan struct{})
		h := newPipeHost(func(d *dialogue, verb, arg string) string {
			if verb == "VRFY" && arg == "anna@d.test" {
				<-release
			}
			return tells(d, verb, arg)
		})
		p := ofHost(t, h)
		underWay := asking(t.Context(), t, p, "anna@d.test")
		synctest.Wait()
		queued := asking(t.Context(), t, p, "nobody@d.test") // there is one connection
		synctest.Wait()
		closed := make(chan struct{})
		go func() { p.Close(); close(closed) }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close did not wait")
		default:
		}
		close(release)
		wantAnswered(t, underWay, policy.Yes)
		wantAnswered(t, queued, policy.Unsure)
		<-closed
		if h.openNow() != 0 || h.count("QUIT") != h.connections() {
			t.Errorf("%d open, %q", h.openNow(), h.heard())
		}
		if got := p.Ask(t.Context(), address(t, "anna@d.test")); got.Says != policy.Unsure {
			t.Errorf("after Close: %s", got.Says)
		}
		p.Close() // once more does nothing
	})
}

// With askers under way at a silent host Close takes no longer than they do.
func TestCloseAtASilentHost(t *testing.T) {
	for _, stage := range stagesOfSilence {
		inBubble(t, hangAt(stage.verb, stage.prefix, has(stage.vrfy, "anna")), func(b bubble) {
			t, h, p := b.open()
			start := time.Now()
			var answers []<-chan policy.Answer
			for range 10 {
				answers = append(answers, asking(t.Context(), t, p, "anna@d.test"))
			}
			synctest.Wait()
			p.Close()
			for _, answer := range answers {
				wantAnswered(t, answer, policy.Unsure)
			}
			if took := time.Since(start); took > 10*time.Second+2*quitTime || h.openNow() > 0 {
				t.Errorf("%s %s: after %v, %d open", stage.verb, stage.prefix, took, h.openNow())
			}
		}, func(c *Config) { c.Connections = 2 })
	}
}
