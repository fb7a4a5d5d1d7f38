package probe

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBudgetBeginsWhereEveryHostBearsIt(t *testing.T) {
	b := newBudget()
	if v, r := b.left(VRFY, used{}), b.left(RCPT, used{}); v != 5 || r != 8 {
		t.Errorf("%d VRFY, %d RCPT", v, r)
	}
	if left := b.left(RCPT, used{vrfys: 2, rcpts: 3, refusals: 4}); left != 4 {
		t.Errorf("after four refusals %d RCPT are left", left)
	}
	if left := b.left(RCPT, used{rcpts: mostRCPTs}); left != 0 {
		t.Errorf("a transaction takes %d more", left)
	}
}

func TestBudgetGrowsWhileConnectionsLast(t *testing.T) {
	b, now := newBudget(), time.Now()
	for range 10 {
		b.lasted(used{vrfys: b.vrfys.now}, now)
		b.lasted(used{refusals: b.refusals.now}, now)
	}
	if b.vrfys.now != mostVRFYs || b.refusals.now != mostRefusals {
		t.Errorf("%d VRFYs, %d refusals", b.vrfys.now, b.refusals.now)
	}
}

func TestBudgetDoesNotGrowByConnectionsThatDidLittle(t *testing.T) {
	b := newBudget()
	b.lasted(used{vrfys: 4, refusals: 4}, time.Now())
	if b.vrfys.now != firstVRFYs || b.refusals.now != firstRefusals {
		t.Errorf("%d VRFYs, %d refusals", b.vrfys.now, b.refusals.now)
	}
}

// Exim ends a connection at the 11th VRFY: from then on ten are put over one.
func TestBudgetKeepsBelowWhereAConnectionWore(t *testing.T) {
	b, now := newBudget(), time.Now()
	b.lasted(used{vrfys: 5}, now)
	b.lasted(used{vrfys: 10}, now)
	b.wore(VRFY, used{vrfys: 11}, now)
	for range 10 {
		now = now.Add(time.Minute)
		b.lasted(used{vrfys: b.vrfys.now}, now)
	}
	if b.vrfys.now != 10 {
		t.Errorf("%d VRFYs", b.vrfys.now)
	}
	b.lasted(used{vrfys: 10}, now.Add(ceilingLife))
	if b.vrfys.now != 20 {
		t.Errorf("after an hour %d VRFYs", b.vrfys.now)
	}
}

// Postfix under stress bears one error; a minute later it may bear ten.
func TestBudgetRecoversFromStress(t *testing.T) {
	b, now := newBudget(), time.Now()
	for range 5 {
		b.wore(VRFY, used{vrfys: 2, refusals: 2}, now)
	}
	if b.left(VRFY, used{}) != 1 {
		t.Errorf("%d VRFYs", b.left(VRFY, used{}))
	}
	now = now.Add(stressLife)
	for range 10 {
		b.lasted(used{vrfys: b.vrfys.now, refusals: b.refusals.now}, now)
	}
	if b.vrfys.now < firstVRFYs || b.refusals.now < firstRefusals {
		t.Errorf("%d VRFYs, %d refusals", b.vrfys.now, b.refusals.now)
	}
}

func TestBudgetIsNeverNothingAndNeverTooMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b, now := newBudget(), time.Now()
		for range rapid.IntRange(0, 50).Draw(t, "steps") {
			u := used{rapid.IntRange(0, 120).Draw(t, "vrfys"), rapid.IntRange(0, 120).Draw(t, "rcpts"), rapid.IntRange(0, 30).Draw(t, "refusals")}
			now = now.Add(time.Duration(rapid.IntRange(0, 7200).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "wore") {
				b.wore(VRFY, u, now)
			} else {
				b.lasted(u, now)
			}
			if v, r := b.left(VRFY, used{}), b.left(RCPT, used{}); v < 1 || r < 1 || v > mostRefusals || r > mostRefusals {
				t.Fatalf("%d VRFY, %d RCPT are left", v, r)
			}
		}
	})
}

func TestPaceTellsAHeldBackReplyFromASlowHost(t *testing.T) {
	var p pace
	p.note(20*time.Millisecond, true, true)
	if p.note(30*time.Millisecond, true, false) {
		t.Error("a usual reply")
	}
	if !p.note(time.Second, true, false) {
		t.Error("a reply that took a second more is held back")
	}
	var exchange pace // holds back each refusal by 5 s, also the first
	exchange.note(5*time.Second, true, true)
	exchange.note(20*time.Millisecond, false, true)
	if exchange.note(5*time.Second, true, false) || !exchange.note(5*time.Second, false, false) {
		t.Error("refusals are slow by nature here, and others are not")
	}
}

func TestPaceKnowsWhoIsFar(t *testing.T) {
	var near, distant pace
	near.note(time.Millisecond, false, true)
	distant.note(50*time.Millisecond, true, true)
	if near.isFar() || !distant.isFar() {
		t.Error(near.isFar(), distant.isFar())
	}
}
