package probe

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// grewOld makes the host's last yes one of so long ago.
func grewOld(p *Prober, domain string, age time.Duration) {
	p.testimony.mu.Lock()
	defer p.testimony.mu.Unlock()
	s := p.testimony.known[domain]
	for of := range s.voices {
		p.testimony.note(domain, s, of, voice{said: time.Now().Add(-age)})
	}
}

// brokenLater is a host that has anna, and refuses everybody once it is broken.
func brokenLater(t *testing.T, vrfy bool) (h *fakeHost, broken *atomic.Bool) {
	t.Helper()
	broken = new(atomic.Bool)
	usual, nobody := has(vrfy, "anna"), has(vrfy)
	return newHost(t, func(d *dialogue, verb, arg string) string {
		if broken.Load() {
			return nobody(d, verb, arg)
		}
		return usual(d, verb, arg)
	}), broken
}

func TestNoOfAHostThatRefusesEverybodyIsNotBelieved(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		h, broken := brokenLater(t, vrfy)
		p := ofHost(t, h)
		wantSays(t, p, "anna@d.test", policy.Yes)
		wantSays(t, p, "bert@d.test", policy.No)
		broken.Store(true) // its directory is empty, say
		grewOld(p, "d.test", witnessFresh)
		wantSays(t, p, "bert@d.test", policy.Unsure)
		broken.Store(false)
		wantSays(t, p, "bert@d.test", policy.No)
	}
}

// Two hosts stand behind one name, the directory of the second is broken. What the first says
// does not vouch for it.
func TestAYesOfOneHostVouchesForNoOtherBehindItsName(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		usual, nobody := has(vrfy, "anna"), has(vrfy)
		var second atomic.Bool // takes the connections
		var its sync.Map       // dialogues
		p := ofHost(t, newHost(t, func(d *dialogue, verb, arg string) string {
			if verb == "GREETING" {
				its.Store(d, second.Load())
			}
			isSecond, _ := its.Load(d)
			switch {
			case verb == "GREETING":
				return fmt.Sprintf("220 fake-%t.test ESMTP", isSecond)
			case isSecond == true:
				return nobody(d, verb, arg)
			}
			return usual(d, verb, arg)
		}))
		for range 3 {
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "bert@d.test", policy.No)
			second.Store(true)
			p.CloseIdle()
			wantSays(t, p, "bert@d.test", policy.Unsure)
			wantSays(t, p, "anna@d.test", policy.Unsure)
			second.Store(false)
			p.CloseIdle()
		}
	}
}

// A host that refuses a mailbox which it had is doubted from then on, however lately it
// said yes.
func TestRefusalOfAWitnessIsVouchedForAtOnce(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		for _, spelt := range []string{"anna@d.test", "ANNA@d.test"} {
			h, broken := brokenLater(t, vrfy)
			p := ofHost(t, h)
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "bert@d.test", policy.No)
			broken.Store(true)
			for _, address := range []string{spelt, "bert@d.test"} {
				if got := wantSays(t, p, address, policy.Unsure); !got.Denied {
					t.Errorf("%s is not denied: %s", address, got.Why)
				}
			}
			broken.Store(false)
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "bert@d.test", policy.No)
		}
	}
}

// One of several may have gone for good: the others vouch for that, without delay.
func TestWitnessThatIsRemovedIsVouchedForByOthers(t *testing.T) {
	var removed atomic.Bool
	before, after := has(true, "anna", "carla"), has(true, "carla")
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		if removed.Load() {
			return after(d, verb, arg)
		}
		return before(d, verb, arg)
	})
	p := ofHost(t, h)
	wantSays(t, p, "carla@d.test", policy.Yes)
	wantSays(t, p, "anna@d.test", policy.Yes)
	removed.Store(true)
	wantSays(t, p, "anna@d.test", policy.No)
	wantSays(t, p, "bert@d.test", policy.No)
	if n := h.count("VRFY anna"); n != 2 {
		t.Errorf("anna was asked about %d times", n)
	}
}

func TestOneQuestionVouchesForManyRefusals(t *testing.T) {
	h, _ := brokenLater(t, true)
	p := ofHost(t, h)
	wantSays(t, p, "anna@d.test", policy.Yes)
	grewOld(p, "d.test", witnessFresh)
	for range 10 {
		wantSays(t, p, "bert@d.test", policy.No)
	}
	if n := h.count("VRFY anna"); n != 2 {
		t.Errorf("anna was asked about %d times", n)
	}
}

func TestAnyOfTheWitnessesVouches(t *testing.T) {
	var moved atomic.Bool
	before, after := has(true, "anna", "bert", "carla", "dora"), has(true, "carla")
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		if moved.Load() {
			return after(d, verb, arg)
		}
		return before(d, verb, arg)
	})
	p := ofHost(t, h)
	for _, user := range []string{"anna", "bert", "carla", "dora"} {
		wantSays(t, p, user+"@d.test", policy.Yes)
	}
	moved.Store(true)
	grewOld(p, "d.test", witnessFresh)
	wantSays(t, p, "emil@d.test", policy.No)
}

// A small site over a weekend: nobody writes to it for longer than its witnesses are
// kept waiting, and meanwhile its directory breaks. How long ago the host said yes
// does not tell that they have moved; that it refuses them, hour after hour, does.
func TestHostThatWasQuietForLongIsVouchedFor(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		var broken atomic.Bool
		usual, nobody := has(vrfy, "anna"), has(vrfy)
		inBubble(t, func(d *dialogue, verb, arg string) string {
			if broken.Load() {
				return nobody(d, verb, arg)
			}
			return usual(d, verb, arg)
		}, func(b bubble) {
			t, _, p := b.open()
			wantSays(t, p, "anna@d.test", policy.Yes)
			broken.Store(true)
			time.Sleep(2 * witnessLife)
			for range 12 {
				wantSays(t, p, "bert@d.test", policy.Unsure)
				time.Sleep(witnessLife / 12)
			}
			wantSays(t, p, "bert@d.test", policy.No)
			broken.Store(false)
			wantSays(t, p, "anna@d.test", policy.Yes) // it has somebody: it is doubted anew
			broken.Store(true)
			time.Sleep(witnessFresh)
			wantSays(t, p, "bert@d.test", policy.Unsure)
		})
	}
}

// What the witnesses cannot be asked about now says nothing of how long they are gone.
func TestWitnessWhoCannotBeAskedAboutIsNoRefusal(t *testing.T) {
	var trouble, gone atomic.Bool
	usual, nobody := has(true, "anna"), has(true)
	inBubble(t, func(d *dialogue, verb, arg string) string {
		switch {
		case verb == "VRFY" && isAbout(arg, "anna") && trouble.Load():
			return "451 4.3.0 Temporary lookup failure"
		case gone.Load():
			return nobody(d, verb, arg)
		}
		return usual(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		trouble.Store(true)
		time.Sleep(witnessFresh)
		for range 3 {
			wantSays(t, p, "bert@d.test", policy.Unsure)
			time.Sleep(witnessLife)
		}
		trouble.Store(false)
		gone.Store(true)
		wantSays(t, p, "bert@d.test", policy.Unsure)
	})
}

// A mailbox that needs SMTPUTF8 cannot vouch in a transaction without it, nor by
// VRFY: others do.
func TestWitnessThatNeedsSMTPUTF8KeepsNoOtherFromVouching(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		usual := has(vrfy, "anna", "größe")
		inBubble(t, func(d *dialogue, verb, arg string) string {
			if verb == "EHLO" {
				return "250-fake.test\n250 SMTPUTF8"
			}
			return usual(d, verb, arg)
		}, func(b bubble) {
			t, h, p := b.open()
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "größe@d.test", policy.Yes)
			time.Sleep(witnessFresh)
			wantSays(t, p, "bert@d.test", policy.No)
			if h.count("VRFY größe") > 0 {
				t.Errorf("%q", h.heard("VRFY"))
			}
		})
	}
}

// Every host must take mail for its postmaster (RFC 5321 section 4.5.1). Exim's
// configuration, as it comes, does so before it looks whether there is one: he
// vouches for nothing.
func TestPostmasterIsNoWitness(t *testing.T) {
	for _, spelt := range []string{"postmaster@d.test", "PostMaster@d.test"} {
		var broken atomic.Bool
		usual, hardWired := vaguely("anna", "postmaster", "PostMaster"), vaguely("postmaster", "PostMaster")
		p := ofHost(t, newHost(t, func(d *dialogue, verb, arg string) string {
			if broken.Load() {
				return hardWired(d, verb, arg)
			}
			return usual(d, verb, arg)
		}))
		wantSays(t, p, "anna@d.test", policy.Yes)
		grewOld(p, "d.test", witnessFresh)
		wantSays(t, p, spelt, policy.Yes)
		broken.Store(true)
		wantSays(t, p, "bert@d.test", policy.Unsure)
	}
}

// Domino says by VRFY of a group that it is no user, and takes its mail. Where that is
// all that it was seen to have, its no is believed in the end.
func TestWitnessOfWhomVRFYDoesNotTellIsTakenToHaveMoved(t *testing.T) {
	usual := has(true, "anna", "group")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && isAbout(arg, "group") {
			return "550 " + arg + " is a group not a user"
		}
		return usual(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		if got := wantSays(t, p, "group@d.test", policy.Yes); got.Method != "rcpt" {
			t.Errorf("by %s", got.Method)
		}
		time.Sleep(witnessFresh)
		wantSays(t, p, "bert@d.test", policy.Unsure)
		time.Sleep(witnessLife)
		wantSays(t, p, "bert@d.test", policy.No)
	})
}
