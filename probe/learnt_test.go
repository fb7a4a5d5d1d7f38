package probe

import (
	"fmt"
	"testing"
	"time"

	"postwhere/policy"
)

// What a host bears is learnt by asking it: from the connections that last, and
// from those on which it has had enough. Each question is answered all the same.
func TestBudgetIsLearntOfTheHost(t *testing.T) {
	tells := has(true, "anna")
	for name, enough := range map[string]string{
		"421": "421 4.7.0 fake.test Error: too many errors" + drop, "554": "554 Too many nonmail commands" + drop, "hangs up": drop, "takes a second": "",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(d *dialogue, verb, arg string) string {
				if verb == "VRFY" && d.count("VRFY") > 13 {
					if enough != "" {
						return enough
					}
					time.Sleep(time.Second)
				}
				return tells(d, verb, arg)
			}, func(b bubble) {
				t, h, p := b.open()
				begun := time.Now()
				for range 500 {
					wantSays(t, p, "anna@d.test", policy.Yes)
				}
				if took := time.Since(begun); took > 4*time.Second {
					t.Errorf("500 questions took %v", took)
				}
				// One with 10 to 13 questions, when the first steps were 5, 10 and too many.
				if s := p.State(); s.VRFYs < 10 || s.VRFYs > 13 {
					t.Errorf("a connection carries %d VRFYs", s.VRFYs)
				}
				if n := h.connections(); n > 500/10+5 {
					t.Errorf("%d connections for 500 questions", n)
				}
				p.Close()
				time.Sleep(time.Minute)
			})
		})
	}
}

// At a host that is far away the next connections are there before this one has
// carried all that it may: opening one takes as long as several questions.
func TestNextConnectionsToAFarHostAreOpenedAhead(t *testing.T) {
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		time.Sleep(50 * time.Millisecond)
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		if !p.State().Far {
			t.Error("it is not known to be far away")
		}
		for range 50 {
			time.Sleep(time.Second)
			if got := wantSays(t, p, "anna@d.test", policy.Yes); got.Took > 50*time.Millisecond {
				t.Errorf("an answer after %v", got.Took)
			}
		}
		if n := h.openNow(); n < 2 || n > 5 {
			t.Errorf("%d connections are open", n)
		}
		p.Close()
		time.Sleep(time.Minute)
	}, func(c *Config) { c.Connections = 5 })
}

// What a 252 means can be pinned, not that it be believed of a host that says it
// of everybody.
func TestMeaningOf252AsConfigured(t *testing.T) {
	// Neither of these repeats the address as Postfix does.
	vague := func(nonsense string) answerer {
		byRCPT := has(false, "anna", "rita")
		return func(d *dialogue, verb, arg string) string {
			switch {
			case verb == "VRFY" && isAbout(arg, "postwhere"):
				return nonsense
			case verb == "VRFY" && (isAbout(arg, "anna") || isAbout(arg, "vera")):
				return "252 2.1.5 will forward"
			case verb == "VRFY":
				return fmt.Sprintf("550 5.1.1 <%s>: User unknown", arg)
			}
			return byRCPT(d, verb, arg)
		}
	}
	refuses, says252 := vague("550 5.1.1 User unknown"), vague("252 2.1.5 will forward")
	for _, tt := range []struct {
		name   string
		answer answerer
		means  Meaning252
		who    string
		want   policy.Says
		method string
	}{
		{"auto", refuses, EchoMeansYes, "anna", policy.Yes, "rcpt"},
		{"auto, RCPT says no", refuses, EchoMeansYes, "vera", policy.No, "rcpt"},
		{"yes", refuses, AlwaysYes, "vera", policy.Yes, "vrfy"},
		{"yes, and no", refuses, AlwaysYes, "nobody", policy.No, "vrfy"},
		{"yes, of everybody", says252, AlwaysYes, "vera", policy.No, "rcpt"},
		{"yes, of everybody, RCPT says yes", says252, AlwaysYes, "rita", policy.Yes, "rcpt"},
		{"unsure, an echo", has(true, "anna"), NeverYes, "anna", policy.Yes, "rcpt"},
		{"auto, an echo", has(true, "anna"), EchoMeansYes, "anna", policy.Yes, "vrfy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := ofHost(t, newHost(t, tt.answer), func(c *Config) { c.VRFY252 = tt.means })
			got := ask(t, p, tt.who+"@d.test")
			if got.Says != tt.want || got.Method != tt.method {
				t.Errorf("%s by %q, want %s by %q (%q %s)", got.Says, got.Method, tt.want, tt.method, got.Reply, got.Why)
			}
		})
	}
}
