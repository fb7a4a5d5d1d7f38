package probe

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// handedOn returns what a prober learnt as it comes through a file.
func handedOn(t *testing.T, k Knowledge) Knowledge {
	t.Helper()
	text, err := json.Marshal(k)
	var back Knowledge
	if err == nil {
		err = json.Unmarshal(text, &back)
	}
	if err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(back)
	if err != nil || !bytes.Equal(text, again) {
		t.Errorf("%s\ncomes back as\n%s, %v", text, again, err)
	}
	return back
}

// knowing makes the prober of a host that is asked after a restart.
func knowing(k Knowledge) func(*Config) { return func(c *Config) { c.Known = k } }

func TestHostThatIsKnownIsNotCalibratedAgain(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		h := newHost(t, has(vrfy, "anna"))
		p := ofHost(t, h)
		wantSays(t, p, "anna@d.test", policy.Yes)
		p.Close()
		asked := h.count("VRFY postwhere") + h.count("RCPT TO:<postwhere")
		p = ofHost(t, h, knowing(handedOn(t, p.Knowledge())))
		wantSays(t, p, "anna@d.test", policy.Yes)
		wantSays(t, p, "bert@d.test", policy.No)
		if now := h.count("VRFY postwhere") + h.count("RCPT TO:<postwhere"); now != asked {
			t.Errorf("vrfy %v: it was asked %d times about nonsense, and %d before", vrfy, now, asked)
		}
	}
}

// A calibration is relied on for as long as it would have been, by whatever clock.
func TestCalibrationExpiresOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHost(has(true, "anna"))
		p := ofHost(t, h)
		wantSays(t, p, "anna@d.test", policy.Yes)
		k := p.Knowledge()
		p.Close()
		time.Sleep(calibrationLife)
		p = ofHost(t, h, knowing(handedOn(t, k)))
		wantSays(t, p, "anna@d.test", policy.Yes)
		p.Close()
		if n := h.count("VRFY postwhere"); n != 2 {
			t.Errorf("calibrated %d times", n)
		}
		for i := range k.Calibrations {
			k.Calibrations[i].Calibration.At = time.Now().Add(time.Second) // the clock was set back
		}
		p = ofHost(t, h, knowing(k))
		wantSays(t, p, "anna@d.test", policy.Yes)
		p.Close()
		if n := h.count("VRFY postwhere"); n != 3 {
			t.Errorf("calibrated %d times", n)
		}
	})
}

// The host broke while nobody asked it: after the restart, too, its no is believed
// only if one vouches for it that it was seen to have.
func TestWitnessesVouchOverARestart(t *testing.T) {
	h, broken := brokenLater(t, true)
	p := ofHost(t, h)
	wantSays(t, p, "anna@d.test", policy.Yes)
	grewOld(p, "d.test", witnessFresh)
	k := handedOn(t, p.Knowledge())
	p.Close()
	broken.Store(true)
	p = ofHost(t, h, knowing(k))
	wantSays(t, p, "bert@d.test", policy.Unsure)
	p.Close()
	for greeting := range k.Witnesses[0].Said { // the clock was set back
		k.Witnesses[0].Said[greeting] = time.Now().Add(time.Hour)
	}
	p = ofHost(t, h, knowing(k))
	wantSays(t, p, "bert@d.test", policy.Unsure)
	k = handedOn(t, p.Knowledge())
	if k.Witnesses[0].Doubted.IsZero() {
		t.Error("it is forgotten that the host refuses its witnesses")
	}
	k.Witnesses[0].Doubted = time.Now().Add(-witnessLife)
	wantSays(t, ofHost(t, h, knowing(k)), "bert@d.test", policy.No)
}

func TestBudgetIsKnownOverARestart(t *testing.T) {
	h := newHost(t, has(true, "anna"))
	p := ofHost(t, h)
	b := p.cfg.learnt.budget
	b.wore(VRFY, used{vrfys: 4, refusals: 3}, time.Now())
	k := handedOn(t, p.Knowledge())
	again := ofHost(t, h, knowing(k)).cfg.learnt.budget
	if again.vrfys.now != b.vrfys.now || again.vrfys.ceiling != b.vrfys.ceiling || again.refusals.now != b.refusals.now ||
		again.vrfys.seen.Sub(b.vrfys.seen).Abs() > time.Millisecond {
		t.Errorf("got %+v, want %+v", again, b)
	}
}

func TestKnowledgeThatMakesNoSenseIsNone(t *testing.T) {
	h := newHost(t, has(true, "anna"))
	first := newBudget()
	for _, k := range []Knowledge{
		{Version: knowledgeVersion + 1, VRFYs: KnownAllowance{Now: 50}},
		{VRFYs: KnownAllowance{Now: 50}},
		{Version: knowledgeVersion, VRFYs: KnownAllowance{Now: 1000}, Refusals: KnownAllowance{Now: 9, Ceiling: -1}},
		{Version: knowledgeVersion, Witnesses: []KnownWitnesses{{Domain: "d.test", Addresses: []string{"anna@d.test\r\nRSET", "anna", ""}}}},
	} {
		p := ofHost(t, h, knowing(k))
		if b := p.cfg.learnt.budget; b.vrfys != first.vrfys || b.refusals != first.refusals || len(p.testimony.known) != 0 {
			t.Errorf("%+v: learnt %+v, %v", k, b, p.testimony.known)
		}
	}
}

// Nothing has changed, so nothing is to be written.
func TestEqualKnowledgeIsEqualText(t *testing.T) {
	h := newHost(t, has(true, "anna"))
	p := ofHost(t, h)
	for _, domain := range []string{"c.test", "a.test", "d.test", "b.test"} {
		ask(t, p, "anna@"+domain)
	}
	first, err := json.Marshal(p.Knowledge())
	for range 5 {
		again, _ := json.Marshal(p.Knowledge())
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("%s\n%s\n%v", first, again, err)
		}
	}
}

// A note that was damaged may lack the address that the refusal is compared with.
func TestKnowledgeWithoutAnAddressHangsNobody(t *testing.T) {
	kept := Calibration{Method: RCPT, Tells: true, At: time.Now(), Refusal: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}}
	ofHost(t, &fakeHost{}, func(c *Config) {
		c.Known = Knowledge{Version: knowledgeVersion, Calibrations: []KnownCalibration{{"d.test", "220 fake.test", kept}}}
	})
}
