package probe

import (
	"fmt"
	"testing"
	"time"

	"postwhere/policy"
)

func TestGreetingWithoutWhatChanges(t *testing.T) {
	for _, same := range [][]string{
		{"220 sm.test ESMTP Sendmail 8.17.1.9/8.17.1.9/Debian-2; Sun, 23 Nov 2025 17:00:00 +0100; (No UCE/UBE) logging access from: localhost(OK)-localhost [127.0.0.1]",
			"220 sm.test ESMTP Sendmail 8.17.1.9/8.17.1.9/Debian-2; Mon, 1 Dec 2025 09:05:59 +0100; (No UCE/UBE) logging access from: localhost(OK)-localhost [127.0.0.1]"},
		{"220 exim.test ESMTP Exim 4.96 Sun, 23 Nov 2025 17:00:00 +0000", "220 exim.test ESMTP Exim 4.96 Mon, 01 Dec 2025 09:05:59 +0000"},
		{"220 dom.test ESMTP Service (Lotus Domino Release 8.5) ready at Sun, 23 Nov 2025 17:00:00 +0100 (CET)",
			"220 dom.test ESMTP Service (Lotus Domino Release 8.5) ready at Sun, 23 Nov 2025 17:00:01 +0100"},
		{"220 ex.test Microsoft ESMTP MAIL Service ready at Sun, 23 Nov 2025 17:00:00 +0000 [08DE2A6B4E5C7D10]",
			"220 ex.test Microsoft ESMTP MAIL Service ready at Sun, 23 Nov 2025 17:00:09 +0000 [08DE2A70F35A9CB4]"},
		{"220 pf.test ESMTP Postfix (Debian/GNU)", "220 pf.test ESMTP Postfix (Debian/GNU)"},
	} {
		if a, b := steadyGreeting(same[0]), steadyGreeting(same[1]); a != b {
			t.Errorf("%q is not %q", a, b)
		}
	}
	var all []string
	for _, other := range []string{
		"220 pf.test ESMTP Postfix", "220 pf.test ESMTP Exim 4.96 Sun, 23 Nov 2025 17:00:00 +0000", "220 pf.test ESMTP Exim 4.97 Sun, 23 Nov 2025 17:00:00 +0000",
		"220 mail1.test ESMTP", "220 mail2.test ESMTP", "220 ip-10-0-0-12.test ESMTP", "220 ip-10-0-0-13.test ESMTP", "220 20251123a.test ESMTP", "220 20251123b.test ESMTP", "220",
		"220-pf.test ESMTP", "",
	} {
		for _, before := range all {
			if steadyGreeting(other) == before {
				t.Errorf("%q is the same as another", other)
			}
		}
		all = append(all, steadyGreeting(other))
	}
}

// A greeting with a date in it does not make another host each time.
func TestHostIsCalibratedOnceForAllItsConnections(t *testing.T) {
	tells := has(true, "anna")
	start := time.Date(2025, 11, 23, 17, 0, 0, 0, time.UTC)
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		if verb == "GREETING" {
			return "220 exim.test ESMTP Exim 4.96 " + start.AddDate(0, 0, d.n).Add(time.Duration(d.n)*time.Second).Format(time.RFC1123Z)
		}
		return tells(d, verb, arg)
	})
	p := ofHost(t, h)
	for range 20 {
		wantSays(t, p, "anna@d.test", policy.Yes)
	}
	if h.connections() < 3 || h.count("VRFY postwhere") != 1 {
		t.Errorf("%d connections, calibrated %d times", h.connections(), h.count("VRFY postwhere"))
	}
}

// Behind one name there may be hosts of different ways, or a host may be replaced:
// each greeting is calibrated by itself, and no host is believed for another's.
func TestHostsBehindOneNameAreEachCalibrated(t *testing.T) {
	tells, acceptsAll := has(true, "anna"), has(true, "anna", "nobody")
	h := newHost(t, func(d *dialogue, verb, arg string) string {
		switch {
		case verb == "GREETING":
			return fmt.Sprintf("220 mail%d.test ESMTP Postfix", d.n%2)
		case d.n%2 == 0 && verb == "VRFY":
			return "252 2.0.0 " + arg
		case d.n%2 == 0 && verb == "RCPT":
			return "250 2.1.5 Ok"
		case d.n%2 == 0:
			return acceptsAll(d, verb, arg)
		}
		return tells(d, verb, arg)
	})
	p := ofHost(t, h)
	says := map[policy.Says]int{}
	for range 20 {
		got := ask(t, p, "nobody@d.test")
		if got.Says == policy.Yes {
			t.Fatalf("yes: %q", got.Reply)
		}
		says[got.Says]++
		for _, held := range p.pool.AcquireAllIdle() { // the next one takes another connection
			held.Value().spoilt = true
			held.Destroy()
		}
	}
	if says[policy.No] == 0 || says[policy.Unsure] == 0 || h.count("VRFY postwhere") != 2 {
		t.Errorf("%v, calibrated %d times", says, h.count("VRFY postwhere"))
	}
}

func TestCalibrationIsMadeAgainWhenItIsOld(t *testing.T) {
	inBubble(t, has(true, "anna"), func(b bubble) {
		t, h, p := b.open()
		for _, tt := range []struct {
			after      time.Duration
			calibrated int
		}{{0, 1}, {calibrationLife - time.Second, 1}, {time.Second, 2}, {calibrationLife, 3}} {
			time.Sleep(tt.after)
			wantSays(t, p, "anna@d.test", policy.Yes)
			if n := h.count("VRFY postwhere"); n != tt.calibrated {
				t.Errorf("calibrated %d times, want %d", n, tt.calibrated)
			}
		}
	})
}

func TestHostThatIsMendedIsBelievedAgain(t *testing.T) {
	for _, tt := range []struct {
		name, trouble string
		life          time.Duration
	}{
		{"it accepted everything", "250 2.1.5 Ok", acceptsAllLife},
		{"it was greylisting", "450 4.2.0 Greylisted", unclearLife},
		{"it was out of order", "451 4.3.0 Temporary lookup failure", unclearLife},
		{"we were on a block list", "550 5.7.1 blocked", unclearLife},
	} {
		mended := false
		known := has(false, "anna")
		inBubble(t, func(d *dialogue, verb, arg string) string {
			if verb == "RCPT" && !mended {
				return tt.trouble
			}
			return known(d, verb, arg)
		}, func(b bubble) {
			t, _, p := b.open()
			wantSays(t, p, "anna@d.test", policy.Unsure)
			wantSays(t, p, "nobody@d.test", policy.Unsure)
			mended = true
			time.Sleep(tt.life - time.Second)
			wantSays(t, p, "anna@d.test", policy.Unsure)
			time.Sleep(time.Second)
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "nobody@d.test", policy.No)
		})
	}
}

// A control that could not be asked about says nothing for hours.
func TestControlThatCouldNotBeAskedAbout(t *testing.T) {
	trouble := true
	known := vaguely("anna", "postmaster")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "RCPT" && trouble && isAbout(arg, "postmaster") {
			return "451 4.3.0 Temporary lookup failure"
		}
		return known(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "nobody@d.test", policy.Unsure)
		trouble = false
		time.Sleep(unclearLife)
		wantSays(t, p, "nobody@d.test", policy.No)
	})
}

// Where VRFY is out of order for a while RCPT tells; then VRFY does again.
func TestVRFYThatIsMendedIsUsedAgain(t *testing.T) {
	mended := false
	known := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && !mended {
			return "450 4.7.1 not now"
		}
		return known(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		for _, method := range []string{"rcpt", "vrfy"} {
			if got := wantSays(t, p, "anna@d.test", policy.Yes); got.Method != method {
				t.Errorf("asked by %s, want %s", got.Method, method)
			}
			mended = true
			time.Sleep(unclearLife)
		}
	})
}

func TestCalibrationsAreBounded(t *testing.T) {
	var c calibrations
	for i := range maxCalibrations + 1000 {
		k := calibrationKey{domain: fmt.Sprintf("d%d.test", i)}
		c.put(k, Calibration{Tells: true, At: time.Now()})
		if found, err := c.find(t.Context(), k, nil); err != nil || !found.Tells {
			t.Fatalf("%v: %v, %v", k, found, err)
		}
	}
	if n := len(c.known); n != maxCalibrations {
		t.Errorf("%d are remembered", n)
	}
	// One that is from the future, by a clock that was set, is not relied on.
	if !(Calibration{Tells: true, At: time.Now().Add(time.Hour).Round(0)}).expired(time.Now()) {
		t.Error("from the future")
	}
}
