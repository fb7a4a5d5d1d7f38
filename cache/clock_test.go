package cache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// Clocks that went apart since the answers were learnt, one minute ago by the
// clock that is right.
var steps = []struct {
	name       string
	wall, mono time.Duration // how far each clock went
	age        time.Duration // how old the answers are to be taken
}{
	{"both clocks go", time.Minute, time.Minute, time.Minute},
	{"set back by an hour", time.Minute - time.Hour, time.Minute, time.Minute},
	{"set back to 1970", -30 * 365 * 24 * time.Hour, time.Minute, time.Minute},
	{"set forward by an hour", time.Minute + time.Hour, time.Minute, time.Minute + time.Hour},
	{"asleep for two hours", time.Minute + 2*time.Hour, time.Minute, time.Minute + 2*time.Hour},
}

func TestClockStepsMakeNothingYounger(t *testing.T) {
	for _, step := range steps {
		t.Run(step.name, func(t *testing.T) {
			c := newCache(t, nil)
			a, stranger := address(t, "anna@example.com"), address(t, "nobody@example.com")
			now := time.Now()
			owner, no := yes("mail1"), no("mail1")
			owner.At, no.At = now, now
			c.Own(a, owner)
			c.Keep(stranger, []policy.Answer{no})
			// now stands for what the wall clock says afterwards.
			then := c.moment(now)
			m := moment{then.wall + int64(step.wall), then.mono + int64(step.mono)}
			got := c.recall(a, now, m)
			if got.Owner.Says != policy.Yes || now.Sub(got.Owner.At) != step.age {
				t.Errorf("owner: got %v, age %v, want age %v", got.Owner, now.Sub(got.Owner.At), step.age)
			}
			if want := step.age >= DefaultRefresh; got.Stale != want {
				t.Errorf("stale %v", got.Stale)
			}
			if kept, want := c.recall(stranger, now, m).Answers != nil, step.age < DefaultNo; kept != want {
				t.Errorf("no is remembered: %v", kept)
			}
		})
	}
}

// Each of both clocks on its own ends the life of a no.
func TestNoEndsByEitherClock(t *testing.T) {
	for _, d := range []moment{{wall: int64(DefaultNo)}, {mono: int64(DefaultNo)}} {
		for _, unsureToo := range []bool{false, true} { // with a filtered copy in between
			c, a := newCache(t, nil), address(t, "nobody@example.com")
			answers := []policy.Answer{no("mail1")}
			if unsureToo {
				answers = append(answers, unsure("mail2"))
			}
			c.Keep(a, answers)
			now := time.Now()
			m := c.moment(now)
			if unsureToo {
				c.recall(a, now, m.plus(DefaultUnsure))
			}
			if got := c.recall(a, now, moment{m.wall + d.wall, m.mono + d.mono}); got.Answers != nil {
				t.Errorf("after %+v: still %v", d, got.Answers)
			}
		}
	}
}

func TestNoOfATimeToComeIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "nobody@example.com")
		for _, ahead := range []time.Duration{1, time.Hour, 200 * 365 * 24 * time.Hour} {
			for _, strip := range []bool{false, true} { // as from disk
				at := time.Now().Add(ahead)
				if strip {
					at = at.Round(0)
				}
				future, sound := no("mail1"), no("mail2")
				future.At = at
				c.Keep(a, []policy.Answer{future, sound})
				wantAnswers(t, c, a, "mail2:no")
			}
		}
	})
}

func TestOwnerOfATimeToComeIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		future := yes("mail1")
		future.At = time.Now().AddDate(10, 0, 0).Round(0)
		c.Own(a, future)
		wantOwner(t, c, a, "mail1")
		if m := c.Recall(a, time.Now()); !m.Stale || m.Owner.At.After(time.Now()) {
			t.Errorf("got %+v", m)
		}
		time.Sleep(DefaultExpire - DefaultRefresh)
		wantOwner(t, c, a, "")
	})
}

func TestAnswerWithoutTimeIsTooOld(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Own(a, policy.Answer{Host: "mail1", Says: policy.Yes})
	c.Keep(a, []policy.Answer{{Host: "mail1", Says: policy.No}, {Host: "mail2", Says: policy.Unsure}})
	if owners, strangers := c.Len(); owners+strangers != 0 {
		t.Errorf("%d owners, %d strangers", owners, strangers)
	}
}

// What comes from disk or from another front end has a wall clock's time only.
// From then on the monotonic clock counts as well.
func TestAnswersOfTheWallClockAreBoundByBoth(t *testing.T) {
	c, a, stranger := newCache(t, nil), address(t, "anna@example.com"), address(t, "nobody@example.com")
	now := time.Now()
	owner, no := yes("mail1"), no("mail1")
	owner.At, no.At = now.Add(-time.Hour).Round(0), now.Add(-time.Minute).Round(0)
	c.Own(a, owner)
	c.Keep(stranger, []policy.Answer{no})
	m := c.moment(now)
	if got := c.recall(a, now, m); !got.Stale {
		t.Fatalf("got %+v", got)
	}
	got := c.recall(stranger, now, m)
	if len(got.Answers) != 1 || !got.Answers[0].At.Equal(no.At) {
		t.Fatalf("got %+v", got)
	}
	if at := got.Answers[0].At; at == at.Round(0) {
		t.Error("an answer is kept without a reading of the monotonic clock")
	}
	setBack := m.plus(DefaultNo - time.Minute)
	setBack.wall = m.wall - int64(time.Hour)
	if got := c.recall(stranger, now, setBack); got.Answers != nil {
		t.Error("the no lives on because the wall clock was set back")
	}
	setBack.mono = m.mono + int64(DefaultExpire-time.Hour)
	if got := c.recall(a, now, setBack); got.Owner.Says != policy.Unasked {
		t.Error("the owner lives on because the wall clock was set back")
	}
}

func TestLifetimesAreSpreadAndOnlyShortened(t *testing.T) {
	c := newCache(t, nil)
	seen := make(map[time.Duration]bool)
	least, most := DefaultExpire, time.Duration(0)
	for i := range 10_000 {
		a := address(t, fmt.Sprintf("user%d@example.com", i))
		k, _ := c.keys(a, nil)
		d := shortened(DefaultExpire, k.hash)
		seen[d] = true
		least, most = min(least, d), max(most, d)
	}
	if most > DefaultExpire || least < early(DefaultExpire) {
		t.Errorf("lifetimes from %v to %v", least, most)
	}
	if len(seen) < 1000 {
		t.Errorf("only %d lifetimes", len(seen))
	}
	if d := shortened(-1, 5); d > 0 {
		t.Errorf("a lifetime of nothing became %v", d)
	}
}
