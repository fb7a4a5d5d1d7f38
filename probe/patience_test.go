package probe

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// Exchange holds back each 5xx by its tarpit interval, 5 s, from the first one on.
// That is its way and no sign of wear: it is answered by, and its connections live
// as long as those of others.
func TestHostThatHoldsBackEachRefusal(t *testing.T) {
	tells := has(false, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		said := tells(d, verb, arg)
		if verb == "VRFY" {
			return "252 2.1.5 Cannot VRFY user, but will take message for <" + arg + ">"
		}
		if verb == "RCPT" && said[0] == '5' {
			time.Sleep(5 * time.Second)
		}
		return said
	}, func(b bubble) {
		t, h, p := b.open()
		for i := range 20 {
			if got := wantSays(t, p, fmt.Sprintf("nobody%d@d.test", i), policy.No); i > 0 && got.Took > 11*time.Second {
				t.Errorf("a no after %v", got.Took)
			}
			if got := wantSays(t, p, "anna@d.test", policy.Yes); i > 0 && got.Took > 0 {
				t.Errorf("a yes after %v", got.Took)
			}
		}
		if n := h.connections(); n > 1+20/4 {
			t.Errorf("%d connections for 20 refusals", n)
		}
		p.Close()
		time.Sleep(time.Minute) // the host may be answering yet
		synctest.Wait()
	})
}

// Stalwart bans who asks about many unknown mailboxes: it hangs up at once, for an
// hour say. Nobody is refused for that, and when it is over that is found out.
func TestHostThatBansUs(t *testing.T) {
	tells := has(false, "anna")
	for name, banned := range map[string]string{
		"hangs up": drop, "554": "554 5.7.1 Banned" + drop, "550": "550 5.1.1 No such user here" + drop, "421": "421 4.7.0 Too many errors" + drop,
	} {
		t.Run(name, func(t *testing.T) {
			var until time.Time
			refusals := 0
			inBubble(t, func(d *dialogue, verb, arg string) string {
				switch d.mu.Lock(); {
				case time.Now().Before(until):
					d.mu.Unlock()
					if verb != "GREETING" {
						return drop
					}
					return banned
				case verb == "RCPT" && !isAbout(arg, "anna"):
					if refusals++; refusals%30 == 0 {
						until = time.Now().Add(time.Hour)
					}
					d.mu.Unlock()
				default:
					d.mu.Unlock()
				}
				return tells(d, verb, arg)
			}, func(b bubble) {
				t, h, p := b.open()
				right, unsure := 0, 0
				for i := range 100 {
					for who, want := range map[string]policy.Says{fmt.Sprintf("nobody%d", i): policy.No, "anna": policy.Yes} {
						switch got := ask(t, p, who+"@d.test"); got.Says {
						case want:
							right++
						case policy.Unsure:
							unsure++
						default:
							t.Fatalf("%s: %s %q", who, got.Says, got.Reply)
						}
					}
					time.Sleep(2 * time.Minute)
				}
				if right < 50 || unsure < 50 {
					t.Errorf("%d answers were right, %d unsure", right, unsure)
				}
				if n := h.connections(); n > 4000 { // 200 minutes, most of them at one try in 5 s
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

func TestRateOfQuestions(t *testing.T) {
	inBubble(t, has(true, "anna"), func(b bubble) {
		t, _, p := b.open()
		start := time.Now()
		for range 50 { // the first ten may go at once
			wantSays(t, p, "anna@d.test", policy.Yes)
		}
		if took := time.Since(start); took < 3900*time.Millisecond || took > 4100*time.Millisecond {
			t.Errorf("50 questions at 10 a second took %v", took)
		}
	}, func(c *Config) { c.Rate = 10 })
}

func TestMingerRateOfQuestions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &mingerPipes{script: orderly()}
		cfg := mingerConfig()
		cfg.Endpoint, cfg.dial, cfg.Rate = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}, h.dial, 10
		p := ofMinger(t, cfg, "")
		t.Cleanup(h.served.Wait)
		start := time.Now()
		for range 50 { // and twice to calibrate
			wantMinger(t, p, "anna@d.test", policy.Yes)
		}
		if took := time.Since(start); took < 4100*time.Millisecond || took > 4300*time.Millisecond {
			t.Errorf("50 questions at 10 a second took %v", took)
		}
	})
}
