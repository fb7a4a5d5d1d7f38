package probe

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// phases are the ways of a host, one after the other: what it says to each question
// instead of the truth, "": the truth.
var phases = []string{
	"", "", "", "250 2.1.5 Ok", "252 2.0.0 ADDRESS", "450 4.2.0 Greylisted", "450 4.1.1 please wait", "451 4.3.0 Temporary lookup failure", "452 4.2.2 Mailbox full",
	"550 Go away", "550 5.7.1 Blocked", "550 5.1.1 your client is blacklisted", "550 5.1.0 Address rejected", "550 Administrative prohibition", "554 Too many nonmail commands" + drop,
	"421 4.7.0 busy" + drop, "421 4.3.2 Service shutting down", "503 5.5.1 need MAIL", "530 5.7.0 Must issue a STARTTLS command first", "252 2.5.2 Cannot VRFY user", drop,
	"550 5.1.1 <other@else.test>: User unknown", "550 5.1.1 <ADDRESS>: Recipient address rejected: unverified address: no route", "tarpit",
}

// A host that is shut, greylists, accepts everything, holds back, blocks us, and is
// itself again, in any order and at any time: while it calibrates, between that and
// the question, and in the midst of a burst. Whatever was learnt in one phase, no
// mailbox is refused in another; a host in its right mind is believed again.
func TestHostThatChangesItsWaysRefusesNobody(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { changeWays(t, seed) })
		})
	}
}

func changeWays(t *testing.T, seed uint64) {
	dice := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a game
	var phase atomic.Pointer[string]
	truth := []answerer{has(true, "anna", "postmaster"), has(false, "anna", "postmaster"), vaguely("anna", "postmaster")}[seed%3]
	enter := func(way string) { phase.Store(&way) }
	enter("")
	h := newPipeHost(func(d *dialogue, verb, arg string) string {
		if verb != "VRFY" && verb != "RCPT" {
			return ""
		}
		switch way := *phase.Load(); way {
		case "":
		case "tarpit":
			time.Sleep(3 * time.Second)
		default:
			return replaceAddress(way, arg)
		}
		return truth(d, verb, arg)
	})
	p := ofHost(t, h, func(c *Config) { c.Connections, c.ReplyTimeout = 3, 10*time.Second })
	count := map[policy.Says]int{}
	for range 80 {
		enter(phases[dice.IntN(len(phases))])
		change := time.AfterFunc(time.Duration(dice.IntN(20))*time.Second, func() { enter("") })
		for i := range 1 + dice.IntN(4) {
			time.Sleep(time.Duration(dice.IntN(2000)) * time.Millisecond)
			got := ask(t, p, "anna@d.test")
			count[got.Says]++
			if got.Says == policy.No {
				t.Errorf("question %d in phase %q: %s %q", i, *phase.Load(), got.Method, got.Reply)
			}
			ask(t, p, "nobody@d.test") // which may be taken for there
		}
		change.Stop()
		time.Sleep([]time.Duration{0, time.Second, unclearLife, acceptsAllLife, calibrationLife}[dice.IntN(5)])
	}
	enter("")
	time.Sleep(calibrationLife)
	wantSays(t, p, "anna@d.test", policy.Yes)
	wantSays(t, p, "nobody@d.test", policy.No)
	p.Close()
	time.Sleep(time.Minute)
	if h.openNow() > 0 {
		t.Errorf("%d connections are left", h.openNow())
	}
	t.Log(count)
}

// replaceAddress puts the address of a command into a reply.
func replaceAddress(reply, arg string) string {
	return strings.ReplaceAll(reply, "ADDRESS", strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>"))
}
