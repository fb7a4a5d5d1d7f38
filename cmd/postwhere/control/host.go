package control

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"postwhere/policy"
	"postwhere/probe"
)

// HostReport is a host as `postwhere hosts` prints it and as the control socket
// carries it: an object a line. The fields' names and order are fixed.
type HostReport struct {
	Host         string              `json:"host"`
	State        string              `json:"state"` // up, down, drained, unasked
	Since        string              `json:"since"` // RFC 3339, with down and drained
	Why          string              `json:"why"`   // it is down, also if it is drained
	Domains      []string            `json:"domains"`
	LastResort   bool                `json:"last_resort"`
	Open         int                 `json:"connections"`
	InUse        int                 `json:"in_use"`
	Limit        int                 `json:"limit"`
	VRFYs        int                 `json:"vrfys"`    // that one connection is used for
	Refusals     int                 `json:"refusals"` // so too
	Far          bool                `json:"far"`
	Yes          uint64              `json:"yes"`
	No           uint64              `json:"no"`
	Unsure       uint64              `json:"unsure"`
	Calibrations []CalibrationReport `json:"calibrations"`
	Denies       []DenialReport      `json:"denies"`
}

// DenialReport is a domain in which a host's no is not believed, for it denies mailboxes that
// it had.
type DenialReport struct {
	Domain string `json:"domain"`
	Like   string `json:"like"`  // one of them
	Since  string `json:"since"` // RFC 3339
}

// CalibrationReport is what was learnt of a host for one domain.
type CalibrationReport struct {
	Domain  string  `json:"domain"`
	Method  string  `json:"method"`
	Tells   bool    `json:"tells"`
	Refusal string  `json:"refusal"` // of an address that nobody has
	Why     string  `json:"why"`     // it does not tell, or what is missing
	Age     float64 `json:"age"`     // seconds
}

// What a host is, in a report.
const (
	HostUp      = "up"
	HostDown    = "down"
	HostDrained = "drained"
	HostUnasked = "unasked"
)

// Line returns the report for people and for cut(1).
func (r HostReport) Line() string {
	numbers := fmt.Sprintf("connections=%d/%d/%d", r.Open, r.InUse, r.Limit)
	if r.VRFYs > 0 {
		numbers += fmt.Sprintf(" vrfys=%d refusals=%d", r.VRFYs, r.Refusals)
	}
	numbers += fmt.Sprintf(" far=%t yes=%d no=%d unsure=%d", r.Far, r.Yes, r.No, r.Unsure)
	learnt := make([]string, len(r.Calibrations))
	for i, c := range r.Calibrations {
		learnt[i] = c.String()
	}
	return strings.Join([]string{r.Host, r.InWords(), numbers, cmp.Or(strings.Join(learnt, "; "), "not calibrated")}, "\t")
}

// InWords says how the host is, and since when and why.
func (r HostReport) InWords() string {
	how := r.standing()
	for _, d := range r.Denies {
		how += "; " + d.String()
	}
	return how
}

// String says what the host denies.
func (d DenialReport) String() string {
	return d.Domain + ": denies mailboxes that it had, like " + d.Like + sinceWhen(d.Since)
}

// sinceWhen returns a time of a report for people.
func sinceWhen(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return ""
	}
	return ", since " + t.Local().Format(time.DateTime)
}

// standing says whether it can be asked.
func (r HostReport) standing() string {
	since := strings.TrimPrefix(sinceWhen(r.Since), ",")
	switch {
	case r.State == HostUnasked:
		return "not asked yet"
	case r.State == HostDrained && r.Why != "":
		return r.State + since + "; down: " + r.Why
	case r.State == HostDown:
		return r.State + since + ": " + r.Why
	}
	return r.State + since
}

func (c CalibrationReport) String() string {
	how := fmt.Sprintf("by %s, refuses unknown addresses with %q", c.Method, c.Refusal)
	if c.Refusal == "" {
		how = "by " + c.Method
	}
	if c.Why != "" {
		how += ", " + c.Why
	}
	return fmt.Sprintf("%s: %s (%s ago)", c.Domain, how, time.Duration(c.Age*float64(time.Second)).Round(time.Second))
}

// ReportOf is a host's report but for what its prober does not know.
func ReportOf(h *policy.Host, s probe.State, now time.Time) HostReport {
	r := HostReport{
		Host: h.Name, State: HostUnasked, Why: s.Why, LastResort: h.LastResort,
		Open: s.Open, InUse: s.InUse, Limit: s.Limit, VRFYs: s.VRFYs, Refusals: s.Refusals, Far: s.Far,
		Yes: s.Yes, No: s.No, Unsure: s.Unsure, Calibrations: []CalibrationReport{}, Denies: []DenialReport{},
	}
	switch {
	case !s.DownSince.IsZero():
		r.State, r.Since = HostDown, s.DownSince.Format(time.RFC3339)
	case s.Reached:
		r.State = HostUp
	}
	for _, d := range s.Denies {
		r.Denies = append(r.Denies, DenialReport{d.Domain, d.Like, d.Since.Format(time.RFC3339)})
	}
	for _, l := range s.Learnt {
		r.Calibrations = append(r.Calibrations, CalibrationReport{
			Domain: l.Domain, Method: l.Method.String(), Tells: l.Tells, Refusal: l.Refusal.String(), Why: l.Why,
			Age: now.Sub(l.At).Seconds(),
		})
	}
	return r
}
