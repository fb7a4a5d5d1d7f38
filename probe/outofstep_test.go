package probe

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// What a host says unasked must not be taken for the answer to a question. The
// worst that it can say is the no to somebody else.
const unasked = "550 5.1.1 <bert@d.test>: User unknown"

func TestUnaskedReplyIsNoAnswer(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		usualOf := has(vrfy, "anna")
		for _, stage := range []string{"GREETING", "EHLO", "MAIL", "VRFY", "RCPT"} {
			for _, extra := range []string{unasked, "250 2.1.5 Ok", "421 4.4.2 timeout", "5"} {
				h := newHost(t, func(d *dialogue, verb, arg string) string {
					said := usualOf(d, verb, arg)
					if said == "" {
						said = usual(verb)
					}
					if verb == stage {
						said += "\n" + extra
					}
					return said
				})
				p := ofHost(t, h)
				for _, who := range []string{"anna", "nobody"} {
					got := ask(t, p, who+"@d.test")
					right := map[string]policy.Says{"anna": policy.Yes, "nobody": policy.No}[who]
					asked := strings.EqualFold(stage, got.Method) || stage != "VRFY" && stage != "RCPT" && stage != "MAIL"
					asked = asked && !(strings.EqualFold(stage, got.Method) && strings.HasPrefix(extra, "421")) // see below
					if got.Says != policy.Unsure && (asked || got.Says != right) {
						t.Errorf("%q with the reply to %s: %s: %s %s %q", extra, stage, who, got.Says, got.Method, got.Reply)
					}
				}
				if n := h.connections(); n > 6 {
					t.Errorf("%q with the reply to %s: %d connections", extra, stage, n)
				}
			}
		}
	}
}

// A host may end the connection right behind its answer, as Postfix does behind a
// refusal that is one too many: the answer counts, and the next question goes
// over another connection.
func TestAnswerWithAGoodbyeBehindItCounts(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		usual := has(vrfy, "anna")
		for _, end := range []string{"", drop} {
			h := newHost(t, func(d *dialogue, verb, arg string) string {
				if said := usual(d, verb, arg); strings.HasPrefix(said, "550") {
					return said + "\n421 4.7.0 fake.test Error: too many errors" + end
				}
				return usual(d, verb, arg)
			})
			p := ofHost(t, h)
			for range 3 {
				wantSays(t, p, "nobody@d.test", policy.No)
				wantSays(t, p, "anna@d.test", policy.Yes)
			}
		}
	}
}

// A host that says everything twice is always one reply behind. Its second reply
// to the nonsense address may arrive when the question has been sent.
func TestHostThatSaysEverythingTwiceRefusesNobody(t *testing.T) {
	for range 20 {
		usual := has(true, "anna")
		p := ofHost(t, newHost(t, func(d *dialogue, verb, arg string) string {
			said := usual(d, verb, arg)
			if verb == "VRFY" {
				d.say(said)
				runtime.Gosched()
			}
			return said
		}))
		for range 3 {
			if got := ask(t, p, "anna@d.test"); got.Says == policy.No {
				t.Fatalf("no: %q", got.Reply)
			}
		}
	}
}

// What comes while a connection is idle makes it stale: the question is put once
// on a fresh one, and answered.
func TestStaleConnectionIsReplacedAndTheQuestionPutOnce(t *testing.T) {
	for name, spoil := range map[string]func(*dialogue){
		"closed":         func(d *dialogue) { _ = d.conn.Close() },
		"421":            func(d *dialogue) { d.say("421 4.4.2 fake.test Error: timeout exceeded") },
		"421 and closed": func(d *dialogue) { d.say("421 4.4.2 fake.test Error: timeout exceeded"); _ = d.conn.Close() },
		"a no":           func(d *dialogue) { d.say(unasked) },
		"a yes":          func(d *dialogue) { d.say("250 2.1.5 Ok") },
		"half a line":    func(d *dialogue) { d.say("5…") },
	} {
		for _, vrfy := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				h := newHost(t, has(vrfy, "anna"))
				p := ofHost(t, h)
				wantSays(t, p, "anna@d.test", policy.Yes)
				spoil(h.dialogue(1))
				waitStale(t, p)
				wantSays(t, p, "nobody@d.test", policy.No)
				wantSays(t, p, "anna@d.test", policy.Yes)
				if n := h.connections(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
				if n := h.count("VRFY nobody") + h.count("RCPT TO:<nobody"); n != 1 {
					t.Errorf("asked %d times", n)
				}
			})
		}
	}
}

// The host may become tired of a connection just when the question arrives: then
// it is put once more.
func TestQuestionToATiredConnectionIsPutOnceMore(t *testing.T) {
	for name, tired := range map[string]string{
		"hangs up":       drop,
		"resets":         reset,
		"421":            "421 4.4.2 fake.test Error: timeout exceeded",
		"421, hangs up":  "421 4.7.0 fake.test Error: too many errors" + drop,
		"554, hangs up":  "554 Too many nonmail commands" + drop,
		"half a reply":   "550 5.1.1 no su…" + drop,
		"too many rcpts": "452 4.5.3 Error: too many recipients",
		"out of step":    "250 2.1.5 Ok\n250 2.1.5 Ok",
	} {
		for _, verb := range []string{"VRFY", "RCPT"} {
			t.Run(name+" at "+verb, func(t *testing.T) {
				usual := has(verb == "VRFY", "anna")
				h := newHost(t, func(d *dialogue, v, arg string) string {
					if v == verb && d.n == 1 && d.count(verb) == 3 { // behind nonsense and anna
						return tired
					}
					return usual(d, v, arg)
				})
				p := ofHost(t, h)
				wantSays(t, p, "anna@d.test", policy.Yes)
				wantSays(t, p, "nobody@d.test", policy.No)
				if n := h.connections(); n != 2 {
					t.Errorf("%d connections, want 2", n)
				}
			})
		}
	}
}

// waitStale waits until what the host did has reached the idle connection.
func waitStale(t *testing.T, p *Prober) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; runtime.Gosched() {
		stale := false
		for _, held := range p.pool.AcquireAllIdle() {
			stale = stale || held.Value().wire.look() != nil
			held.ReleaseUnused()
		}
		if stale {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no idle connection became stale")
		}
	}
}

// What a host that is far away says too many may be on its way when the next question is
// put. It is there sooner than any reply to that could be.
func TestWhatIsThereTooSoonIsNoAnswer(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		for who, extra := range map[string]string{"anna": "550 5.1.1 User unknown", "nobody": "250 2.1.5 Ok"} {
			t.Run(fmt.Sprintf("%s, VRFY %t", who, vrfy), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { tooSoon(t, vrfy, who, extra) })
			})
		}
	}
}

func tooSoon(t *testing.T, vrfy bool, who, extra string) {
	usualOf := has(vrfy, "anna", "bert")
	h := newPipeHost(func(d *dialogue, verb, arg string) string {
		said := usualOf(d, verb, arg)
		if !isAbout(arg, "bert") || verb == "VRFY" && !vrfy {
			return strings.Replace(said, "<"+strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")+">: ", "", 1)
		}
		d.say(said)
		time.Sleep(roundTrip * 2 / 5)
		return extra
	})
	var way distantHost
	p := ofHost(t, &fakeHost{}, func(c *Config) {
		c.dial = func(context.Context, string, string) (net.Conn, error) {
			time.Sleep(roundTrip)
			here, near := net.Pipe()
			far, there := net.Pipe()
			way.running.Go(func() { way.carry(near, far) })
			way.running.Go(func() { way.carry(far, near) })
			h.begin(there)
			return here, nil
		}
	})
	wantSays(t, p, "nobody@d.test", policy.No)
	wantSays(t, p, "bert@d.test", policy.Yes)
	wantSays(t, p, who+"@d.test", map[string]policy.Says{"anna": policy.Yes, "nobody": policy.No}[who])
	p.Close()
	way.running.Wait()
	h.conns.Wait()
}
