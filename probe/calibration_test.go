package probe

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postwhere/policy"
)

// vaguely makes a host that is to be asked by RCPT, has these local parts and
// refuses all others without an enhanced code.
func vaguely(locals ...string) answerer {
	known := has(false, locals...)
	return func(d *dialogue, verb, arg string) string {
		said := known(d, verb, arg)
		if strings.HasPrefix(said, "550") {
			return "550 Unrouteable address"
		}
		return said
	}
}

func TestHostThatAcceptsEverythingIsNeverBelieved(t *testing.T) {
	for name, answer := range map[string]answerer{
		"250": func(_ *dialogue, verb, _ string) string {
			if verb == "VRFY" || verb == "RCPT" {
				return "250 2.1.5 Ok"
			}
			return ""
		},
		"252 as Postfix": func(_ *dialogue, verb, arg string) string {
			switch verb {
			case "VRFY":
				return "252 2.0.0 " + arg
			case "RCPT":
				return "250 2.1.5 Ok"
			}
			return ""
		},
		"full": func(_ *dialogue, verb, _ string) string {
			if verb == "VRFY" || verb == "RCPT" {
				return "452 4.2.2 Mailbox full"
			}
			return ""
		},
		"252, 252": func(_ *dialogue, verb, _ string) string {
			if verb == "VRFY" || verb == "RCPT" {
				return "252 2.5.2 will try"
			}
			return ""
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			h := newHost(t, answer)
			p := ofHost(t, h, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
			for i := range 20 {
				got := wantSays(t, p, fmt.Sprintf("anna%d@d.test", i), policy.Unsure)
				if !strings.Contains(got.Why, "accepts everything") {
					t.Error(got.Why)
				}
			}
			if h.count("VRFY anna")+h.count("RCPT TO:<anna") > 0 || h.count("RCPT") != 1 {
				t.Errorf("asked all the same: %q", h.heard())
			}
			if n := strings.Count(log.String(), "level=WARN msg=\"host accepts every address"); n != 1 {
				t.Errorf("said %d times:\n%s", n, log.String())
			}
		})
	}
}

func TestDecisiveRefusalNeedsNoControl(t *testing.T) {
	h := newHost(t, has(false, "anna"))
	p := ofHost(t, h)
	wantSays(t, p, "nobody@d.test", policy.No)
	if n := h.count("RCPT"); n != 2 {
		t.Errorf("%q", h.heard())
	}
}

func TestVagueRefusalNeedsAnAcceptedControl(t *testing.T) {
	for _, tt := range []struct {
		name, control, asked string
		mailboxes            []string
		nobody               policy.Says
	}{
		{"postmaster by default", "", "postmaster@d.test", []string{"anna", "postmaster"}, policy.No},
		{"as configured", "boss@d.test", "boss@d.test", []string{"anna", "boss"}, policy.No},
		{"refused", "", "postmaster@d.test", []string{"anna"}, policy.Unsure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHost(t, vaguely(tt.mailboxes...))
			p := ofHost(t, h, func(c *Config) { c.Control = tt.control })
			wantSays(t, p, "nobody@d.test", tt.nobody)
			if h.count("RCPT TO:<"+tt.asked) != 1 {
				t.Errorf("%q", h.heard())
			}
			wantSays(t, p, "anna@d.test", policy.Yes)
			wantSays(t, p, "nobody@d.test", policy.No) // it was seen to accept now
			wantSays(t, p, "anna@d.test", policy.Yes)
			if h.count("RCPT TO:<postwhere") > 2 {
				t.Errorf("calibrated again and again: %q", h.heard())
			}
		})
	}
}

// A host that refuses everybody for a while (a block list, a broken directory),
// in words that are about nothing, must not teach us that this is how it speaks
// of unknown mailboxes: not by accepting somebody between two such whiles.
func TestWhatAHostSaysToEverybodyIsNoNo(t *testing.T) {
	var banned atomic.Bool
	usual := vaguely("anna", "postmaster")
	ban := func(d *dialogue, verb, arg string) string {
		if verb == "RCPT" && banned.Load() {
			return "550 Go away"
		}
		return usual(d, verb, arg)
	}
	t.Run("from the start, then off and on", func(t *testing.T) {
		banned.Store(true)
		p := ofHost(t, newHost(t, ban))
		for range 3 {
			banned.Store(true)
			for range 12 {
				wantSays(t, p, "anna@d.test", policy.Unsure)
			}
			banned.Store(false)
			wantSays(t, p, "anna@d.test", policy.Yes)
		}
		wantSays(t, p, "nobody@d.test", policy.No)
	})
	t.Run("later", func(t *testing.T) {
		banned.Store(false)
		p := ofHost(t, newHost(t, ban))
		wantSays(t, p, "anna@d.test", policy.Yes)
		wantSays(t, p, "nobody@d.test", policy.No)
		banned.Store(true)
		for range 12 {
			wantSays(t, p, "anna@d.test", policy.Unsure)
		}
	})
}

// Domino says 250 to a mailbox by VRFY, and 550 to a group; so does a host that
// is known to refuse decisively. Such a no is RCPT's to say.
func TestVagueNoByVRFYIsAskedByRCPT(t *testing.T) {
	for _, unknown := range []string{"550 5.1.1 no such user", "550 no such user"} {
		h := newHost(t, func(_ *dialogue, verb, arg string) string {
			switch known := isAbout(arg, "anna") || isAbout(arg, "postmaster"); {
			case verb == "VRFY" && isAbout(arg, "group"):
				return "550 group@d.test is a group not a user"
			case verb == "VRFY" && known:
				return "250 " + arg
			case verb == "RCPT" && (known || isAbout(arg, "group")):
				return "250 Ok"
			case verb == "VRFY" || verb == "RCPT":
				return unknown
			}
			return ""
		})
		p := ofHost(t, h)
		for range 2 {
			wantSays(t, p, "anna@d.test", policy.Yes)
			if got := wantSays(t, p, "group@d.test", policy.Yes); got.Method != "rcpt" {
				t.Errorf("by %s", got.Method)
			}
			wantSays(t, p, "nobody@d.test", policy.No)
		}
	}
}

func TestMethodAsConfigured(t *testing.T) {
	vrfyOnly := func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && (isAbout(arg, "anna") || isAbout(arg, "postmaster")) {
			return "250 <" + arg + "> is deliverable"
		}
		if verb == "VRFY" {
			return "550 <" + arg + "> Unrouteable address"
		}
		return ""
	}
	h := newHost(t, vrfyOnly)
	p := ofHost(t, h, func(c *Config) { c.Method = VRFY })
	wantSays(t, p, "anna@d.test", policy.Yes)
	wantSays(t, p, "nobody@d.test", policy.No) // Exim with a VRFY ACL
	if h.count("MAIL") > 0 {
		t.Errorf("vrfy: %q", h.heard())
	}
	h = newHost(t, has(false, "anna"))
	p = ofHost(t, h, func(c *Config) { c.Method = VRFY })
	wantSays(t, p, "anna@d.test", policy.Unsure)
	wantSays(t, p, "nobody@d.test", policy.Unsure)
	h = newHost(t, has(true, "anna"))
	p = ofHost(t, h, func(c *Config) { c.Method = RCPT })
	wantSays(t, p, "anna@d.test", policy.Yes)
	wantSays(t, p, "nobody@d.test", policy.No)
	if h.count("VRFY") > 0 {
		t.Errorf("rcpt: %q", h.heard())
	}
}

func TestAskersJoinOneCalibration(t *testing.T) {
	h := newHost(t, has(true, "anna"))
	p := ofHost(t, h, func(c *Config) { c.Connections = 5 })
	var asking sync.WaitGroup
	for range 20 {
		asking.Go(func() { wantSays(t, p, "anna@d.test", policy.Yes) })
		asking.Go(func() { wantSays(t, p, "nobody@d.test", policy.No) })
	}
	asking.Wait()
	if n := h.count("VRFY postwhere"); n != 1 {
		t.Errorf("calibrated %d times", n)
	}
}

// A kept connection that is tired says so to the nonsense address, too. That is
// not the host's way with nonsense.
func TestTiredConnectionIsNotCalibratedBy(t *testing.T) {
	for _, tired := range []string{drop, "421 4.4.2 timeout", "421 4.4.2 timeout" + drop, "554 Too many nonmail commands" + drop} {
		for _, at := range []string{"postwhere", "postmaster"} {
			usual := vaguely("anna", "postmaster")
			h := newHost(t, func(d *dialogue, verb, arg string) string {
				if verb == "RCPT" && d.n == 1 && strings.HasPrefix(arg, "TO:<"+at) && strings.Contains(arg, "second.test") {
					return tired
				}
				return usual(d, verb, arg)
			})
			p := ofHost(t, h)
			wantSays(t, p, "anna@first.test", policy.Yes)
			wantSays(t, p, "nobody@second.test", policy.No)
			wantSays(t, p, "anna@second.test", policy.Yes)
			if n := h.connections(); n > 3 {
				t.Errorf("%d connections", n)
			}
		}
	}
}

func TestCalibrateTellsWhatWasLearnt(t *testing.T) {
	for name, tt := range map[string]struct {
		answer answerer
		want   []Calibration
	}{
		"VRFY tells":     {has(true), []Calibration{{Method: VRFY, Tells: true}}},
		"RCPT tells":     {has(false), []Calibration{{Method: VRFY}, {Method: RCPT, Tells: true}}},
		"with a control": {vaguely("postmaster"), []Calibration{{Method: VRFY}, {Method: RCPT, Tells: true, Accepts: true}}},
		"unclear": {func(_ *dialogue, verb, _ string) string {
			if verb == "VRFY" || verb == "RCPT" {
				return "450 4.2.0 Greylisted"
			}
			return ""
		}, []Calibration{{Method: VRFY, Unclear: true}, {Method: RCPT, Unclear: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := ofHost(t, newHost(t, tt.answer))
			for range 6 { // more than a connection carries
				got, err := p.Calibrate(t.Context(), "d.test")
				if err != nil {
					t.Fatal(err)
				}
				for i, c := range got {
					if (c.Why == "") != c.Tells || time.Since(c.At) > patience {
						t.Errorf("%+v", c)
					}
					got[i] = Calibration{Method: c.Method, Tells: c.Tells, AcceptsAll: c.AcceptsAll, Unclear: c.Unclear, Accepts: c.Accepts}
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Error(diff)
				}
			}
			for i := range 12 {
				if _, err := p.Calibrate(t.Context(), fmt.Sprintf("d%d.test", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
