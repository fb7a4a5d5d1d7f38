package control

import (
	"testing"
	"time"

	"postwhere/policy"
	"postwhere/probe"
)

func TestLineOfAHost(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.Local)
	refusal := policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}
	learnt := func(domain string, c probe.Calibration) probe.Learnt {
		c.At = at.Add(-90 * time.Second)
		return probe.Learnt{Domain: domain, Calibration: c}
	}
	for _, c := range []struct {
		state   probe.State
		drained bool
		want    string
	}{
		{
			probe.State{Limit: 5, VRFYs: 5, Refusals: 8}, false,
			"mail1\tnot asked yet\tconnections=0/0/5 vrfys=5 refusals=8 far=false yes=0 no=0 unsure=0\tnot calibrated",
		},
		{
			probe.State{
				Reached: true, Open: 3, InUse: 1, Limit: 5, VRFYs: 40, Refusals: 9, Far: true, Yes: 12, No: 34, Unsure: 1,
				Learnt: []probe.Learnt{
					learnt("example.com", probe.Calibration{Method: probe.VRFY, Tells: true, Refusal: refusal}),
					learnt("example.org", probe.Calibration{Method: probe.RCPT, AcceptsAll: true, Why: "accepts everything: it said \"250\" to an address that nobody has"}),
				},
			}, false,
			"mail1\tup\tconnections=3/1/5 vrfys=40 refusals=9 far=true yes=12 no=34 unsure=1\t" +
				"example.com: by vrfy, refuses unknown addresses with \"550 5.1.1 User unknown\" (1m30s ago); " +
				"example.org: by rcpt, accepts everything: it said \"250\" to an address that nobody has (1m30s ago)",
		},
		{
			probe.State{Reached: true, DownSince: at, Why: "connection refused", Limit: 5, VRFYs: 5, Refusals: 8}, false,
			"mail1\tdown since 2026-11-24 12:00:00: connection refused\tconnections=0/0/5 vrfys=5 refusals=8 far=false yes=0 no=0 unsure=0\tnot calibrated",
		},
		{
			probe.State{Reached: true, Limit: 5, VRFYs: 5, Refusals: 8, Denies: []probe.Denial{{Domain: "example.com", Like: "anna@example.com", Since: at}}}, false,
			"mail1\tup; example.com: denies mailboxes that it had, like anna@example.com, since 2026-11-24 12:00:00\tconnections=0/0/5 vrfys=5 refusals=8 far=false yes=0 no=0 unsure=0\tnot calibrated",
		},
		{
			probe.State{Reached: true, DownSince: at, Why: "connection refused", Limit: 4}, true,
			"mail1\tdrained since 2026-11-24 12:34:56; down: connection refused\tconnections=0/0/4 far=false yes=0 no=0 unsure=0\tnot calibrated",
		},
	} {
		r := ReportOf(&policy.Host{Name: "mail1"}, c.state, at)
		if c.drained {
			r.State, r.Since = HostDrained, at.Add(34*time.Minute+56*time.Second).Format(time.RFC3339)
		}
		if got := r.Line(); got != c.want {
			t.Errorf("\ngot  %q\nwant %q", got, c.want)
		}
	}
}
