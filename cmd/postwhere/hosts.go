package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postwhere/policy"
	"postwhere/probe"
)

// hostReport is a host as `postwhere hosts` prints it and as the control socket
// carries it: an object a line. The fields' names and order are fixed.
type hostReport struct {
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
	Calibrations []calibrationReport `json:"calibrations"`
}

type calibrationReport struct {
	Domain  string  `json:"domain"`
	Method  string  `json:"method"`
	Tells   bool    `json:"tells"`
	Refusal string  `json:"refusal"` // of an address that nobody has
	Why     string  `json:"why"`     // it does not tell, or what is missing
	Age     float64 `json:"age"`     // seconds
}

// What a host is, in a report.
const (
	hostUp      = "up"
	hostDown    = "down"
	hostDrained = "drained"
	hostUnasked = "unasked"
)

// hosts reports on each host of the day, in the order of domains and of preference.
func (d *daemon) hosts() []hostReport {
	w := d.enter()
	defer w.requests.Done()
	all := []hostReport{}
	now := time.Now()
	for _, h := range w.allHosts() {
		r := reportOf(h, proberOf(h).State(), now)
		if since, drained := d.drained.of(h.Name); drained {
			r.State, r.Since = hostDrained, since.Format(time.RFC3339)
		}
		for _, domain := range w.domains {
			if slices.Contains(domain.Hosts(), h) {
				r.Domains = append(r.Domains, domain.Names[0])
			}
		}
		all = append(all, r)
	}
	return all
}

// reportOf is a host's report but for what its prober does not know.
func reportOf(h *policy.Host, s probe.State, now time.Time) hostReport {
	r := hostReport{
		Host: h.Name, State: hostUnasked, Why: s.Why, LastResort: h.LastResort,
		Open: s.Open, InUse: s.InUse, Limit: s.Limit, VRFYs: s.VRFYs, Refusals: s.Refusals, Far: s.Far,
		Yes: s.Yes, No: s.No, Unsure: s.Unsure, Calibrations: []calibrationReport{},
	}
	switch {
	case !s.DownSince.IsZero():
		r.State, r.Since = hostDown, s.DownSince.Format(time.RFC3339)
	case s.Reached:
		r.State = hostUp
	}
	for _, l := range s.Learnt {
		r.Calibrations = append(r.Calibrations, calibrationReport{
			Domain: l.Domain, Method: l.Method.String(), Tells: l.Tells, Refusal: l.Refusal.String(), Why: l.Why,
			Age: now.Sub(l.At).Seconds(),
		})
	}
	return r
}

// line returns the report for people and for cut(1).
func (r hostReport) line() string {
	numbers := fmt.Sprintf("connections=%d/%d/%d", r.Open, r.InUse, r.Limit)
	if r.VRFYs > 0 {
		numbers += fmt.Sprintf(" vrfys=%d refusals=%d", r.VRFYs, r.Refusals)
	}
	numbers += fmt.Sprintf(" far=%t yes=%d no=%d unsure=%d", r.Far, r.Yes, r.No, r.Unsure)
	learnt := make([]string, len(r.Calibrations))
	for i, c := range r.Calibrations {
		learnt[i] = c.String()
	}
	return strings.Join([]string{r.Host, r.state(), numbers, cmp.Or(strings.Join(learnt, "; "), "not calibrated")}, "\t")
}

// state says in words how the host is.
func (r hostReport) state() string {
	since := ""
	if at, err := time.Parse(time.RFC3339, r.Since); err == nil {
		since = " since " + at.Local().Format(time.DateTime)
	}
	switch {
	case r.State == hostUnasked:
		return "not asked yet"
	case r.State == hostDrained && r.Why != "":
		return r.State + since + "; down: " + r.Why
	case r.State == hostDown:
		return r.State + since + ": " + r.Why
	}
	return r.State + since
}

func (c calibrationReport) String() string {
	how := fmt.Sprintf("by %s, refuses unknown addresses with %q", c.Method, c.Refusal)
	if c.Refusal == "" {
		how = "by " + c.Method
	}
	if c.Why != "" {
		how += ", " + c.Why
	}
	return fmt.Sprintf("%s: %s (%s ago)", c.Domain, how, time.Duration(c.Age*float64(time.Second)).Round(time.Second))
}

func hostsCommand(c *common) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "Print how the running daemon sees each host",
		Long: `Print HOST<TAB>STATE<TAB>NUMBERS<TAB>CALIBRATION for each host of the running
daemon. The state is up, down or drained, and since when and why, or not asked
yet. The numbers are connections=OPEN/IN USE/LIMIT; the VRFYs and refusals that
one connection is used for; whether the host is far away; and its answers since
the daemon was started or reloaded. The calibration says for each domain by which
method the host is asked, how it refuses an address that nobody has, and what is
wrong with that. Exit status: 0, 69 without a daemon, 78 for a bad configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.hosts(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object a line")
	return cmd
}

func (c *common) hosts(ctx context.Context, asJSON bool) error {
	client, err := c.mustControl()
	if err != nil {
		return err
	}
	defer client.close()
	all, err := client.hosts(ctx)
	if err != nil {
		return c.unanswered(err)
	}
	out := json.NewEncoder(c.out)
	out.SetEscapeHTML(false) // replies are full of <>
	for _, r := range all {
		if asJSON {
			err = out.Encode(r)
		} else {
			_, err = io.WriteString(c.out, r.line()+"\n")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mustControl returns a client of the daemon, for a command that is nothing without
// one.
func (c *common) mustControl() (*controlClient, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	client := newControlClient(cfg)
	if client == nil {
		return nil, exit{exitNone, errors.New("listen.control is empty: the daemon cannot be asked")}
	}
	return client, nil
}

// unanswered is the error of such a command that the daemon did not answer as it
// should.
func (c *common) unanswered(err error) error {
	var refused daemonError
	switch {
	case errors.Is(err, errNoDaemon):
		return exit{exitNone, fmt.Errorf("%w: start it by `postwhere serve`; `postwhere check` asks the hosts without one", err)}
	case errors.As(err, &refused) && refused.wrongCall:
		return exit{exitUsage, errors.New(refused.text)}
	}
	return exit{exitNone, fmt.Errorf("the daemon cannot be asked: %w", err)}
}
