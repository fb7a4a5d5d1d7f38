package probe

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// perSession is a host that answers as the state was when the session began (Postfix reads its
// tables then).
func perSession(state func() answerer, greeting func() string) answerer {
	var its sync.Map
	return func(d *dialogue, verb, arg string) string {
		if verb == "GREETING" {
			its.Store(d, state())
			if greeting != nil {
				return greeting()
			}
		}
		a, ok := its.Load(d)
		if !ok {
			return ""
		}
		return a.(answerer)(d, verb, arg)
	}
}

// A yes over a connection of before the breakage vouches for one of after.
func TestYesOfAnOldSessionVouchesForNoNewOne(t *testing.T) {
	var broken atomic.Bool
	whole, nobody := has(true, "anna", "bert", "carla", "dora", "emil"), has(true)
	inBubble(t, perSession(func() answerer {
		if broken.Load() {
			return nobody
		}
		return whole
	}, nil), func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		time.Sleep(time.Second)
		broken.Store(true) // for who connects from now on
		begun := time.Now()
		time.Sleep(28 * time.Second)
		wantSays(t, p, "bert@d.test", policy.Yes)
		time.Sleep(29 * time.Second)
		wantSays(t, p, "carla@d.test", policy.Yes)
		for time.Since(begun) < 3*time.Minute {
			time.Sleep(5 * time.Second)
			if got := ask(t, p, "dora@d.test"); got.Says == policy.No {
				t.Errorf("dora, who is there, is refused %v after the directory broke (At %v after)", time.Since(begun), got.At.Sub(begun))
			}
		}
	})
}

// The machines of a cluster cannot be told apart, and one is broken. From when that shows, each
// connection has to have said yes.
func TestClusterThatGreetsAlike(t *testing.T) {
	var n atomic.Int32
	all := []string{"anna", "bert", "carla", "dora", "emil"}
	whole, nobody := has(true, all...), has(true)
	inBubble(t, perSession(func() answerer {
		if n.Add(1)%2 == 0 {
			return nobody
		}
		return whole
	}, nil), func(b bubble) {
		t, _, p := b.open()
		var noes int
		for i := range 1000 {
			if i%5 == 4 {
				if ask(t, p, "stranger@d.test").Says == policy.No {
					noes++
				}
			} else if who := all[i*7%len(all)]; ask(t, p, who+"@d.test").Says == policy.No {
				t.Errorf("%s is refused after %d questions", who, i)
			}
			time.Sleep(20 * time.Second)
		}
		if noes == 0 {
			t.Error("no stranger was ever refused")
		}
	})
}

// Different greetings: the no that the broken one said in its first minute lives on by what the other says.
func TestRememberedNoOfABrokenMachineIsVouchedForByAnother(t *testing.T) {
	var second, broken atomic.Bool
	whole, nobody := has(true, "anna", "bert", "carla"), has(true)
	inBubble(t, perSession(func() answerer {
		if second.Load() && broken.Load() {
			return nobody
		}
		return whole
	}, func() string { return fmt.Sprintf("220 fake-%t.test ESMTP", second.Load()) }), func(b bubble) {
		t, _, p := b.open()
		second.Store(true)
		wantSays(t, p, "anna@d.test", policy.Yes)
		broken.Store(true)
		p.CloseIdle()
		begun := time.Now()
		time.Sleep(time.Second)
		no := wantSays(t, p, "bert@d.test", policy.No).At // in the first minute
		second.Store(false)
		p.CloseIdle()
		for time.Since(begun) < 5*time.Minute {
			time.Sleep(31 * time.Second)
			wantSays(t, p, "anna@d.test", policy.Yes)
			if time.Since(begun) > time.Minute && !p.Revoked("d.test", no) && p.Vouched("d.test", no, time.Now()) {
				t.Errorf("bert's no by the broken machine is believed %v after it broke", time.Since(begun))
			}
		}
	})
}

// A yes that was on its way, over a connection that has turned meanwhile, has a broken host believed.
func TestYesOverAConnectionFromBeforeTheTurn(t *testing.T) {
	var broken atomic.Bool
	whole, nobody := has(true, "anna", "bert", "slow"), has(true)
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := newPipeHost(perSession(func() answerer {
			if broken.Load() {
				return nobody
			}
			return func(d *dialogue, verb, arg string) string {
				if verb == "VRFY" && isAbout(arg, "slow") {
					<-release
				}
				return whole(d, verb, arg)
			}
		}, nil))
		p := ofHost(t, h, func(c *Config) { c.Connections = 3 })
		wantSays(t, p, "anna@d.test", policy.Yes)
		slow := make(chan policy.Answer)
		go func() { slow <- p.Ask(t.Context(), address(t, "slow@d.test")) }()
		synctest.Wait()
		broken.Store(true)
		time.Sleep(time.Second)
		wantSays(t, p, "anna@d.test", policy.Unsure)
		wantSays(t, p, "bert@d.test", policy.Unsure)
		time.Sleep(time.Second)
		close(release)
		<-slow
		wantSays(t, p, "bert@d.test", policy.Unsure)
	})
}

// The clock was wrong when the doubt was kept.
func TestDoubtFromTheFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHost(has(true))
		k := Knowledge{Version: knowledgeVersion, Witnesses: []KnownWitnesses{{"d.test", []string{"anna@d.test"}, nil, time.Now().AddDate(5, 0, 0)}}}
		p := ofHost(t, h, knowing(k))
		wantSays(t, p, "stranger@d.test", policy.Unsure)
		time.Sleep(witnessLife)
		wantSays(t, p, "stranger@d.test", policy.No)
	})
}

// ask_as is verbatim.
func TestWitnessesOfADomainInCapitalsOutliveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		whole, nobody := has(true, "anna"), has(true)
		h := newPipeHost(func(d *dialogue, verb, arg string) string {
			if broken.Load() {
				return nobody(d, verb, arg)
			}
			return whole(d, verb, arg)
		})
		p := ofHost(t, h)
		a := policy.AddressOf("anna", "Inner.Test")
		p.Ask(t.Context(), a)
		kept, _ := json.Marshal(p.Knowledge())
		var k Knowledge
		_ = json.Unmarshal(kept, &k)
		broken.Store(true)
		next := ofHost(t, h, knowing(k))
		if got := next.Ask(t.Context(), a); got.Says == policy.No {
			t.Errorf("refused after a restart: %+v", got)
		}
	})
}

// It denies her, and hangs up when another is to vouch.
func TestDenialBeforeAHangUpIsADenial(t *testing.T) {
	var broken atomic.Bool
	whole, nobody := has(true, "anna", "bert"), has(true)
	inBubble(t, func(d *dialogue, verb, arg string) string {
		switch {
		case broken.Load() && isAbout(arg, "bert"):
			return "421 4.7.0 Error: too many errors"
		case broken.Load():
			return nobody(d, verb, arg)
		}
		return whole(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "bert@d.test", policy.Yes)
		wantSays(t, p, "anna@d.test", policy.Yes)
		broken.Store(true)
		got := wantSays(t, p, "anna@d.test", policy.Unsure)
		if !got.Denied {
			t.Error("it said 550 5.1.1 of her, and mail for her goes there")
		}
	})
}

// Mailboxes that need SMTPUTF8 cannot vouch, and push out none that can.
// A mailbox in ASCII, and three that need SMTPUTF8.
func TestStrangersOfAMixedDomainAreRefused(t *testing.T) {
	usual := has(true, "anna", "größe", "süß", "köln")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "EHLO" {
			return "250-fake.test\n250 SMTPUTF8"
		}
		return usual(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		for _, who := range []string{"anna", "größe", "süß", "köln"} {
			wantSays(t, p, who+"@d.test", policy.Yes)
		}
		time.Sleep(61 * time.Second)
		wantSays(t, p, "stranger@d.test", policy.No)
	})
}

// It may be the same host, whose administrator tries another setting since its directory is broken.
func TestHostThatIsAskedInAnotherWayHasToHaveWhomItHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var broken atomic.Bool
		whole, nobody := has(true, "anna", "bert"), has(true)
		h := newPipeHost(func(d *dialogue, verb, arg string) string {
			if broken.Load() {
				return nobody(d, verb, arg)
			}
			return whole(d, verb, arg)
		})
		p := ofHost(t, h)
		wantSays(t, p, "anna@d.test", policy.Yes)
		known := p.Knowledge().OfAnother()
		if len(known.Calibrations) > 0 || known.Witnesses[0].Said != nil {
			t.Errorf("%+v", known)
		}
		broken.Store(true)
		other := ofHost(t, h, knowing(known))
		wantSays(t, other, "bert@d.test", policy.Unsure)
		broken.Store(false)
		wantSays(t, other, "bert@d.test", policy.Yes)
		time.Sleep(time.Second)
		wantSays(t, other, "nobody@d.test", policy.No)
	})
}

// What another front end has heard it say yes to it has to have, too.
func TestHostHasToHaveWhomAnotherFrontEndSaw(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		b.p.Saw(address(t, "postmaster@d.test"), time.Now())
		no := b.says(t, "nobody@d.test", policy.No)
		wantVouched(t, b.p, no, true)
		b.p.Saw(address(t, "anna@d.test"), time.Now())
		wantVouched(t, b.p, no, false)
		b.broken.Store(true)
		b.says(t, "bert@d.test", policy.Unsure)
		time.Sleep(time.Second)
		b.broken.Store(false)
		b.says(t, "nobody@d.test", policy.No)
	})
}

// A host without a postmaster is believed while it has somebody else.
func TestWitnessIsTheControlAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Bool
		p, _ := ofMingerScript(t, func(n int, query string) []string {
			if lost.Load() {
				return mingerd("", map[string]string{"postmaster@d.test": "5", "bert@d.test": "5"})(n, query)
			}
			return mingerd("", map[string]string{"anna@d.test": "5"})(n, query)
		})
		wantMinger(t, p, "nobody@d.test", policy.Unsure)
		wantMinger(t, p, "anna@d.test", policy.Yes)
		for range 3 {
			wantMinger(t, p, "nobody@d.test", policy.No)
			time.Sleep(calibrationLife)
		}
		wantMinger(t, p, "anna@d.test", policy.Yes)
		lost.Store(true)
		wantMinger(t, p, "bert@d.test", policy.Yes)
		time.Sleep(calibrationLife)
		wantMinger(t, p, "nobody@d.test", policy.No)
	})
}
