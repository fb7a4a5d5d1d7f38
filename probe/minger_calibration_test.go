package probe

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func TestMingerCalibration(t *testing.T) {
	everything := func(status string) mingerScript {
		return func(_ int, query string) []string { return []string{query + " " + status} }
	}
	for _, tt := range []struct {
		name      string
		script    mingerScript
		control   string
		yes, nobo policy.Says
		want      Calibration
		why       string
	}{
		{"orderly", orderly(), "", policy.Yes, policy.No, Calibration{Tells: true, Accepts: true}, ""},
		{"accepts everything", everything("5"), "", policy.Unsure, policy.Unsure, Calibration{AcceptsAll: true}, "accepts everything"},
		{"everything is disabled", everything("4"), "", policy.Unsure, policy.Unsure, Calibration{AcceptsAll: true}, "accepts everything"},
		{"refuses everybody", everything("3"), "", policy.Unsure, policy.Unsure, Calibration{Tells: true}, "postmaster@d.test"},
		{"denies", everything("1"), "", policy.Unsure, policy.Unsure, Calibration{Unclear: true}, "let it in"},
		{"wants a secret", everything("2"), "", policy.Unsure, policy.Unsure, Calibration{Unclear: true}, "shared secret"},
		{"understands nothing", everything("0"), "", policy.Unsure, policy.Unsure, Calibration{Unclear: true}, "understand"},
		{"is at fault itself", everything("-1"), "", policy.Unsure, policy.Unsure, Calibration{Unclear: true}, "not in the protocol"},
		{"has no postmaster", mingerd("", map[string]string{"dora@d.test": "5"}), "", policy.Unsure, policy.Unsure, Calibration{Tells: true}, "postmaster@d.test"},
		{"has its control", mingerd("", map[string]string{"anna@d.test": "5", "ctl@d.test": "4"}), "ctl@d.test", policy.Yes, policy.No, Calibration{Tells: true, Accepts: true}, ""},
		{"is at fault with its control", orderly().about("postmaster@d.test", lines("postmaster@d.test -1")), "", policy.Yes, policy.Unsure, Calibration{Tells: true, Unclear: true}, "postmaster@d.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := serveMinger(t, tt.script)
			cfg := mingerConfig()
			cfg.Endpoint = Endpoint{Network: "udp", Address: h.LocalAddr().String()}
			cfg.Control = tt.control
			p := ofMinger(t, cfg, "")
			all, err := p.Calibrate(t.Context(), "d.test")
			if err != nil || len(all) != 1 {
				t.Fatalf("%+v, %v", all, err)
			}
			c := all[0]
			if c.Tells != tt.want.Tells || c.Accepts != tt.want.Accepts || c.AcceptsAll != tt.want.AcceptsAll || c.Unclear != tt.want.Unclear ||
				(c.Why == "") != (tt.why == "") || !strings.Contains(c.Why, tt.why) || c.Method != Minger || c.At.IsZero() {
				t.Errorf("%+v", c)
			}
			if c.Tells != (c.Refusal.Text == c.Nonsense+" 3") {
				t.Errorf("refused %s with %q", c.Nonsense, c.Refusal)
			}
			wantMinger(t, p, "nobody@d.test", tt.nobo)
			wantMinger(t, p, "anna@d.test", tt.yes)
		})
	}
}

// TestMingerLearnsItsControl: a host without a postmaster is believed in its no
// once it has said yes to somebody, and no again to nonsense after that.
func TestMingerLearnsItsControl(t *testing.T) {
	h := serveMinger(t, mingerd("", map[string]string{"anna@d.test": "5"}))
	p := ofMingerHost(t, h)
	wantMinger(t, p, "nobody@d.test", policy.Unsure)
	wantMinger(t, p, "anna@d.test", policy.Yes)
	wantMinger(t, p, "nobody@d.test", policy.No)
	wantMinger(t, p, "somebody@d.test", policy.No)
	// nonsense, postmaster, nobody, anna; nonsense, anna, nobody, somebody
	if got := h.asked(); len(got) != 8 || got[5] != "anna@d.test" {
		t.Errorf("asked %q", got)
	}
}

// TestMingerRecovers: a host that knew nobody while its directory was away, and
// accepts everything when that is back, is found out.
func TestMingerRecovers(t *testing.T) {
	var mu sync.Mutex
	status := "3"
	h := serveMinger(t, func(_ int, query string) []string {
		mu.Lock()
		defer mu.Unlock()
		return []string{query + " " + status}
	})
	p := ofMingerHost(t, h)
	wantMinger(t, p, "anna@d.test", policy.Unsure)
	mu.Lock()
	status = "5"
	mu.Unlock()
	askMinger(t, p, "anna@d.test") // believed, until it is tried again
	wantMinger(t, p, "anna@d.test", policy.Unsure)
}

func TestMingerCalibratesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := ofMingerScript(t, orderly())
		for _, step := range []struct {
			later time.Duration
			asked int // since the last step
		}{{0, 3}, {calibrationLife - time.Second, 1}, {calibrationLife, 3}} {
			time.Sleep(step.later)
			before := len(h.times)
			wantMinger(t, p, "nobody@d.test", policy.No)
			if got := len(h.times) - before; got != step.asked {
				t.Errorf("after %v: asked %d times, want %d", step.later, got, step.asked)
			}
		}
		h.script = func(int, string) []string { return nil }
		time.Sleep(calibrationLife)
		wantMinger(t, p, "nobody@d.test", policy.Unsure)
	})
}

// Of a host that has not got the domain "no such address" is no no: that it has its
// control, in another domain, does not vouch for it.
func TestMingerControlOfAnotherDomainVouchesForNone(t *testing.T) {
	h := serveMinger(t, mingerd("", map[string]string{"ctl@d.test": "5"}))
	cfg := mingerConfig()
	cfg.Endpoint = Endpoint{Network: "udp", Address: h.LocalAddr().String()}
	cfg.Control = "ctl@d.test"
	p := ofMinger(t, cfg, "")
	wantMinger(t, p, "nobody@d.test", policy.No)
	wantMinger(t, p, "anna@other.test", policy.Unsure)
}
