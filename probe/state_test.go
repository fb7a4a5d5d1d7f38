package probe

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"postwhere/policy"
)

// learntOf returns what a state has learnt: domain, method and whether it tells.
func learntOf(s State) string {
	var all []string
	for _, l := range s.Learnt {
		all = append(all, fmt.Sprintf("%s:%s:%t", l.Domain, l.Method, l.Tells))
	}
	return strings.Join(all, " ")
}

func TestStateOfAHost(t *testing.T) {
	tells := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" && strings.HasSuffix(arg, "@other.test") {
			return "252 2.0.0 ask by RCPT"
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		if s := p.State(); s.Reached || !s.DownSince.IsZero() || s.Open != 0 || s.Limit != 3 || s.VRFYs != firstVRFYs || s.Refusals != firstRefusals || s.Learnt != nil {
			t.Errorf("before the first question: %+v", s)
		}
		wantSays(t, p, "anna@d.test", policy.Yes)
		wantSays(t, p, "nobody@d.test", policy.No)
		wantSays(t, p, "nobody@other.test", policy.No)
		s := p.State()
		if !s.Reached || s.Open != 1 || s.InUse != 0 || s.Far || s.Yes != 1 || s.No != 2 || s.Unsure != 0 {
			t.Errorf("%+v", s)
		}
		if got, want := learntOf(s), "d.test:vrfy:true other.test:rcpt:true"; got != want {
			t.Errorf("learnt %q, want %q", got, want)
		}
	}, func(c *Config) { c.Connections = 3 })
}

func TestStateOfAHostThatAcceptsEverything(t *testing.T) {
	inBubble(t, func(_ *dialogue, verb, _ string) string {
		if verb == "RCPT" {
			return "250 2.1.5 Ok"
		}
		return ""
	}, func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Unsure)
		s := p.State()
		if got, want := learntOf(s), "d.test:rcpt:false"; got != want || !s.Learnt[0].AcceptsAll || s.Unsure != 1 {
			t.Errorf("learnt %q, want %q; %+v", got, want, s)
		}
	})
}

func TestStateOfAHostThatIsAskedByMinger(t *testing.T) {
	h := serveMinger(t, orderly())
	p := ofMingerHost(t, h)
	if s := p.State(); s.Reached || s.Limit != 4 || !s.DownSince.IsZero() {
		t.Errorf("%+v", s)
	}
	wantMinger(t, p, "anna@d.test", policy.Yes)
	s := p.State()
	if got, want := learntOf(s), "d.test:minger:true"; got != want || !s.Reached || s.Yes != 1 || s.InUse != 0 {
		t.Errorf("learnt %q, want %q; %+v", got, want, s)
	}
	before := time.Now()
	_ = h.Close()
	wantMinger(t, p, "anna@d.test", policy.Unsure)
	if s := p.State(); s.DownSince.Before(before) || s.Why == "" || s.Unsure != 1 {
		t.Errorf("of a host that has ended: %+v", s)
	}
}
