package probe

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// limited hangs up (421) instead of the reply after so many refusals over one connection.
func limited(most int, usual answerer) answerer {
	var mu sync.Mutex
	n := map[*dialogue]int{}
	return func(d *dialogue, verb, arg string) string {
		r := usual(d, verb, arg)
		if verb != "RCPT" && verb != "VRFY" {
			return r
		}
		mu.Lock()
		defer mu.Unlock()
		if n[d] >= most {
			return "421 4.7.0 Error: too many errors"
		}
		if len(r) > 0 && r[0] == '5' {
			n[d]++
		}
		return r
	}
}

// What another front end heard is old, perhaps: it takes no place of what the host itself said.
func TestMailboxesThatOthersSawPushOutNoWitness(t *testing.T) {
	inBubble(t, has(false, "anna"), func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		for i := range 3 {
			p.Saw(address(t, fmt.Sprintf("deleted%d@d.test", i)), time.Now())
		}
		time.Sleep(2 * time.Minute)
		wantSays(t, p, "stranger@d.test", policy.No)
	})
}

// Nor is it asked about one that cannot be put into its questions.
func TestMailboxThatMingerCannotBeAskedAboutIsNoWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := ofMingerScript(t, mingerd("", map[string]string{"anna@d.test": "5", "postmaster@d.test": "5"}))
		p.Saw(address(t, `"a b"@d.test`), time.Now())
		for range 3 {
			wantMinger(t, p, "anna@d.test", policy.Yes)
			wantMinger(t, p, "stranger@d.test", policy.No)
			time.Sleep(6 * time.Hour)
		}
	})
}

// A connection may bear no second control address: what was learnt of the first counts.
func TestControlOfAHostThatBearsTwoRefusals(t *testing.T) {
	for _, most := range []int{2, 3, 4} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			var lost atomic.Bool
			one, two := vaguely("anna", "bert"), vaguely("bert")
			inBubble(t, limited(most, func(d *dialogue, verb, arg string) string {
				if lost.Load() {
					return two(d, verb, arg)
				}
				return one(d, verb, arg)
			}), func(b bubble) {
				t, _, p := b.open()
				ask(t, p, "anna@d.test")
				ask(t, p, "stranger@d.test")
				lost.Store(true)
				for range 3 {
					time.Sleep(calibrationLife + time.Minute)
					wantSays(t, p, "bert@d.test", policy.Yes)
				}
			}, func(c *Config) { c.Method = RCPT })
		})
	}
}

// All have moved away, it is believed, and another front end hears that they are back.
func TestHostThatHasSomebodyAgainAsAnotherFrontEndHeard(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		b.says(t, "anna@d.test", policy.Yes)
		b.broken.Store(true) // all moved away
		time.Sleep(2 * time.Minute)
		b.says(t, "nobody@d.test", policy.Unsure)
		time.Sleep(witnessLife)
		b.says(t, "nobody@d.test", policy.No)
		b.broken.Store(false) // and came back: another front end hears of both
		time.Sleep(24 * time.Hour)
		b.p.Saw(address(t, "anna@d.test"), time.Now())
		time.Sleep(24 * time.Hour)
		b.broken.Store(true)
		time.Sleep(time.Hour)
		b.says(t, "bert@d.test", policy.Unsure)
	})
}

// A machine that is broken refuses a witness in a pipe; the question is then put to another, which
// has her, and vouches for nothing that the first has said.
func TestNoOfAMachineThatHasJustRefusedAWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHost(has(true))
		p := ofHost(t, h)
		tm := p.testimony
		a := &speaker{voice: "a", born: time.Now()}
		b := &speaker{voice: "b", born: time.Now()}
		time.Sleep(time.Second)
		tm.yes("d.test", a, "anna@d.test", time.Now())
		tm.yes("d.test", b, "anna@d.test", time.Now())
		time.Sleep(29 * time.Second)
		a2 := &speaker{voice: "a", born: time.Now()} // broken from now on
		no := a2.born
		if tm.toAsk("d.test", a2, "bert@d.test", time.Now()) != nil {
			t.Fatal("not believed")
		}
		// Kept in memory: bert, no. a's credit is over a minute after.
		time.Sleep(20 * time.Second)
		if tm.toAsk("d.test", a2, "anna@d.test", time.Now()) == nil { // askInCrowd
			t.Fatal("believed")
		}
		for i := range 4 { // try went to b
			b2 := &speaker{voice: "b", born: time.Now()}
			tm.yes("d.test", b2, "anna@d.test", time.Now())
			time.Sleep(50 * time.Second)
			if !p.Revoked("d.test", no) && p.Vouched("d.test", no, time.Now()) {
				t.Errorf("%d: a's no about bert is believed %v after a broke", i, time.Since(no))
			}
		}
	})
}

// One connection that was greeted otherwise, or went to another address, has no say in what is
// remembered for long.
func TestMachineThatIsHeardOnceMakesMemoryUselessForMinutesOnly(t *testing.T) {
	var other atomic.Bool
	inBubble(t, perSession(func() answerer { return has(true, "anna") }, func() string {
		return fmt.Sprintf("220 fake-%t.test ESMTP", other.Load())
	}), func(b bubble) {
		t, _, p := b.open()
		other.Store(true)
		wantSays(t, p, "anna@d.test", policy.Yes)
		other.Store(false)
		p.CloseIdle()
		begun, not := time.Now(), 0
		for time.Since(begun) < 2*time.Hour {
			wantSays(t, p, "anna@d.test", policy.Yes)
			no := wantSays(t, p, "stranger@d.test", policy.No).At
			if p.Revoked("d.test", no) || !p.Vouched("d.test", no, time.Now()) {
				not++
			}
			time.Sleep(20 * time.Second)
		}
		if not > 12 { // four minutes
			t.Errorf("%d of 360 are not believed", not)
		}
	})
}
