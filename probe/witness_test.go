package probe

import (
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// grewOld makes the host's last yes one of so long ago.
func grewOld(p *Prober, domain string, age time.Duration) {
	p.testimony.mu.Lock()
	defer p.testimony.mu.Unlock()
	p.testimony.known[domain].at = time.Now().Add(-age)
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

func TestHostWhoseWitnessesAreLongGoneIsBelieved(t *testing.T) {
	h, broken := brokenLater(t, true)
	p := ofHost(t, h)
	wantSays(t, p, "anna@d.test", policy.Yes)
	broken.Store(true) // all its mailboxes have moved
	grewOld(p, "d.test", witnessLife+time.Second)
	wantSays(t, p, "bert@d.test", policy.No)
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
