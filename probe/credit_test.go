package probe

import (
	"encoding/json"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// wantVouched tells whether a no about d.test from that time is believed now.
func wantVouched(t *testing.T, p vouching, no time.Time, want bool) {
	t.Helper()
	if got := !p.Revoked("d.test", no) && p.Vouched("d.test", no, time.Now()); got != want {
		t.Errorf("a no of %v ago is believed: %t", time.Since(no), got)
	}
}

type vouching interface {
	asker
	Revoked(domain string, no time.Time) bool
	Vouched(domain string, no, now time.Time) bool
	Saw(a policy.Address, at time.Time)
	Knowledge() Knowledge
}

// breaking is a host that has anna and bert and, once it is broken, nobody; lost are those whom
// it has no more in any case.
type breaking struct {
	broken, lost atomic.Bool
	p            vouching
	connections  func() int
}

// says asks about an address, and returns of when the answer is.
func (b *breaking) says(t *testing.T, who string, want policy.Says) time.Time {
	t.Helper()
	got := b.p.Ask(t.Context(), address(t, who))
	if got.Says != want {
		t.Errorf("%s: %s (%q %s), want %s", who, got.Says, got.Reply, got.Why, want)
	}
	return got.At
}

// inEachWay runs a test with such a host, asked in each way, in simulated time.
func inEachWay(t *testing.T, test func(t *testing.T, b *breaking)) {
	t.Helper()
	whole, without, nobody := []string{"anna", "bert"}, []string{"bert"}, []string{}
	for _, vrfy := range []bool{true, false} {
		b := &breaking{}
		inBubble(t, func(d *dialogue, verb, arg string) string {
			switch {
			case b.broken.Load():
				return has(vrfy, nobody...)(d, verb, arg)
			case b.lost.Load():
				return has(vrfy, without...)(d, verb, arg)
			}
			return has(vrfy, whole...)(d, verb, arg)
		}, func(in bubble) {
			t, h, p := in.open()
			b.p, b.connections = p, h.connections
			test(t, b)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := &breaking{}
		p, _ := ofMingerScript(t, func(n int, query string) []string {
			has := map[string]string{"anna@d.test": "5", "bert@d.test": "5", "postmaster@d.test": "5"}
			if b.broken.Load() || b.lost.Load() {
				delete(has, "anna@d.test")
			}
			if b.broken.Load() {
				delete(has, "bert@d.test")
			}
			return mingerd("", has)(n, query)
		})
		b.p = p
		test(t, b)
	})
}

// It is worth as much as one that is said now: nothing, if nobody was seen for a minute.
func TestRememberedNoIsBelievedForAMinuteAfterTheLastYes(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		no := b.says(t, "nobody@d.test", policy.No)
		time.Sleep(time.Hour)
		wantVouched(t, b.p, no, true) // nobody is known there
		b.says(t, "anna@d.test", policy.Yes)
		time.Sleep(witnessFresh - time.Millisecond)
		wantVouched(t, b.p, no, true)
		time.Sleep(time.Millisecond)
		wantVouched(t, b.p, no, false)
		b.says(t, "another@d.test", policy.No) // is vouched for
		wantVouched(t, b.p, no, true)
	})
}

// What a host has said before it was found to deny what it had is not believed any more, nor
// when it is whole again.
func TestNoesOfAHostThatWasBroken(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		b.says(t, "anna@d.test", policy.Yes)
		time.Sleep(time.Second)
		before := b.says(t, "nobody@d.test", policy.No)
		b.broken.Store(true)
		time.Sleep(time.Second)
		wrong := b.says(t, "bert@d.test", policy.No) // nobody knows it yet
		wantVouched(t, b.p, wrong, true)
		b.says(t, "anna@d.test", policy.Unsure)
		wantVouched(t, b.p, before, false)
		wantVouched(t, b.p, wrong, false)
		time.Sleep(time.Second)
		b.broken.Store(false)
		b.says(t, "bert@d.test", policy.Yes)
		wantVouched(t, b.p, before, false)
		wantVouched(t, b.p, wrong, false)
		time.Sleep(time.Second)
		wantVouched(t, b.p, b.says(t, "nobody@d.test", policy.No), true)
	})
}

// One mailbox of several may be deleted: that says nothing of the others.
func TestNoesStandWhenAWitnessIsDeleted(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		b.says(t, "bert@d.test", policy.Yes)
		b.says(t, "anna@d.test", policy.Yes)
		no := b.says(t, "nobody@d.test", policy.No)
		b.lost.Store(true)
		b.says(t, "anna@d.test", policy.No)
		wantVouched(t, b.p, no, true)
	})
}

// A host may be broken for so long that it is believed; when it has somebody again it is
// known that it should not have been.
func TestNoesOfAHostThatWasBrokenForHours(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		b.says(t, "anna@d.test", policy.Yes)
		b.broken.Store(true)
		b.says(t, "anna@d.test", policy.Unsure)
		time.Sleep(witnessLife)
		no := b.says(t, "bert@d.test", policy.No)
		time.Sleep(time.Minute)
		wantVouched(t, b.p, no, true)
		b.broken.Store(false)
		b.says(t, "anna@d.test", policy.Yes)
		wantVouched(t, b.p, no, false)
	})
}

func TestNoesOfAHostThatWasBrokenAtARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b brokenMinger
		first, h := ofMingerScript(t, b.script())
		wantMinger(t, first, "anna@d.test", policy.Yes)
		b.broken.Store(true)
		wantMinger(t, first, "anna@d.test", policy.Unsure)
		kept, err := json.Marshal(first.Knowledge())
		if err != nil {
			t.Fatal(err)
		}
		cfg := mingerConfig()
		cfg.Endpoint, cfg.dial = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}, h.dial
		if err := json.Unmarshal(kept, &cfg.Known); err != nil {
			t.Fatal(err)
		}
		p := ofMinger(t, cfg, "")
		time.Sleep(witnessLife)
		no := wantMinger(t, p, "bert@d.test", policy.No).At
		time.Sleep(time.Minute)
		wantVouched(t, p, no, true)
		b.broken.Store(false)
		wantMinger(t, p, "anna@d.test", policy.Yes)
		wantVouched(t, p, no, false)
	})
}

// Its connections are from before it was broken, and from before it was whole again: nothing is
// made of a no over them.
func TestConnectionsOfAHostThatWasBrokenAreLeft(t *testing.T) {
	inEachWay(t, func(t *testing.T, b *breaking) {
		if b.connections == nil {
			return
		}
		b.says(t, "anna@d.test", policy.Yes)
		time.Sleep(time.Second)
		b.broken.Store(true)
		b.says(t, "anna@d.test", policy.Unsure)
		time.Sleep(time.Second)
		b.broken.Store(false)
		whole := time.Now()
		b.says(t, "anna@d.test", policy.Yes)
		time.Sleep(time.Second)
		if at := b.says(t, "nobody@d.test", policy.No); at.Before(whole) {
			t.Errorf("by a connection of %v before", whole.Sub(at))
		}
		if n := b.connections(); n > 4 {
			t.Errorf("%d connections", n)
		}
	})
}

// Whether it still has another may be told by nobody, for it hangs up. Its noes of before are
// not believed when it is whole again.
func TestNoesOfAHostThatHangsUpWhenItIsToVouch(t *testing.T) {
	inBreakdown := has(true, "bert")
	var broken atomic.Bool
	inBubble(t, func(d *dialogue, verb, arg string) string {
		switch {
		case !broken.Load():
			return has(true, "anna", "bert", "carla")(d, verb, arg)
		case isAbout(arg, "bert"):
			return drop
		}
		return inBreakdown(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "bert@d.test", policy.Yes)
		wantSays(t, p, "anna@d.test", policy.Yes)
		broken.Store(true)
		time.Sleep(time.Second)
		no := wantSays(t, p, "carla@d.test", policy.No).At
		wantSays(t, p, "anna@d.test", policy.Unsure)
		broken.Store(false)
		time.Sleep(time.Second)
		wantSays(t, p, "bert@d.test", policy.Yes)
		wantVouched(t, p, no, false)
	})
}
