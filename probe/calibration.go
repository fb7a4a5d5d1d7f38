package probe

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"postwhere/policy"
)

// How long a calibration is relied on: one by which the host can be believed,
// and one that the administrator will want to see gone soon.
const (
	calibrationLife = 4 * time.Hour
	acceptsAllLife  = 5 * time.Minute
	unclearLife     = 30 * time.Second
	maxCalibrations = 256 // for one host; more greetings than that are noise
)

// Calibration is what was learnt of how a host answers one kind of question
// about one domain: it was asked about an address that nobody has. The zero
// value is a host of which nothing is known. It is a value.
type Calibration struct {
	Method Method
	// Tells: the host refused the nonsense address, so its yes means something.
	Tells bool
	// AcceptsAll: it accepted the nonsense address by RCPT.
	AcceptsAll bool
	// Unclear: what it said to the nonsense address was not about the address.
	Unclear bool
	// Refusal is how it refused the nonsense address.
	Refusal policy.Reply
	// Accepts: it has accepted its control address, or another since; asked for
	// only where Refusal is vague.
	Accepts bool
	// Why it does not tell, or what is missing.
	Why string
	At  time.Time
}

// expired tells whether the host is to be calibrated again.
func (c Calibration) expired(now time.Time) bool {
	life := calibrationLife
	switch {
	case c.AcceptsAll:
		life = acceptsAllLife
	case c.Unclear:
		life = unclearLife
	}
	return now.Sub(c.At) >= life || now.Before(c.At)
}

// calibrationKey: a greeting is part of it, so that a host that was replaced, or
// several behind one name, are each known by their own ways.
type calibrationKey struct {
	domain   string
	greeting string
	method   Method
}

// calibrations are those of one host. The zero value is ready; it may be used
// concurrently.
type calibrations struct {
	mu      sync.Mutex
	known   map[calibrationKey]Calibration
	flights singleflight.Group
}

func (c *calibrations) get(k calibrationKey) (Calibration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[k]
	return known, ok && !known.expired(time.Now())
}

func (c *calibrations) put(k calibrationKey, value Calibration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= maxCalibrations {
		c.known = make(map[calibrationKey]Calibration)
	}
	c.known[k] = value
}

// sawAcceptance notes that the host has accepted an address of the domain.
func (c *calibrations) sawAcceptance(k calibrationKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.known[k]; ok && known.Tells && !known.Accepts {
		known.Accepts, known.Why = true, ""
		c.known[k] = known
	}
}

// calibrate returns how the host answers questions by this method about the
// domain, and asks it, on this session, if that is not known. Sessions that want
// the same wait for one.
func (p *Prober) calibrate(ctx context.Context, s *session, method Method, domain string) (Calibration, calibrationKey, error) {
	k := calibrationKey{domain: domain, greeting: s.greeting, method: method}
	if c, ok := p.calibrations.get(k); ok {
		return c, k, nil
	}
	value, err, _ := p.calibrations.flights.Do(fmt.Sprint(k), func() (any, error) {
		c, err := p.tryNonsense(ctx, s, method, domain)
		if err != nil {
			return c, fmt.Errorf("while it was calibrated: %w", err)
		}
		p.calibrations.put(k, c)
		p.report(c, domain)
		return c, nil
	})
	return value.(Calibration), k, err
}

// tryNonsense asks about an address that nobody has, and about the control
// address where the refusal alone would not do.
func (p *Prober) tryNonsense(ctx context.Context, s *session, method Method, domain string) (Calibration, error) {
	c := Calibration{Method: method, At: time.Now()}
	nonsense := "postwhere" + strings.ToLower(rand.Text()[:16]) + "@" + domain
	r, err := s.ask(ctx, method, nonsense)
	if err != nil {
		return c, err
	}
	q := question{method: method, address: nonsense}
	switch {
	case q.accepts(r) && method == RCPT:
		c.AcceptsAll = true
		c.Why = fmt.Sprintf("accepts everything: it said %q to an address that nobody has", r)
		return c, nil
	case method == VRFY && (q.accepts(r) || q.read(r).byRCPT):
		c.Why = fmt.Sprintf("VRFY does not tell: it said %q to an address that nobody has", r)
		return c, nil
	case isDecisive(r), isSoftBounce(r):
		c.Tells, c.Refusal = true, r
		return c, nil
	case !isVague(r) || aboutUs(r, nonsense) != "":
		c.Unclear = true
		c.Why = fmt.Sprintf("cannot be calibrated: it said %q to an address that nobody has", r)
		return c, nil
	}
	c.Tells, c.Refusal = true, r
	return p.tryControl(ctx, s, c, domain)
}

// isSoftBounce tells whether a host refuses unknown mailboxes for now only, as
// Postfix with soft_bounce=yes. Its yes can be believed, and its no is never one.
// A host that must look first (reject_unverified_recipient) uses the same code.
func isSoftBounce(r policy.Reply) bool {
	return r.Code == 450 && r.Enhanced == "4.1.1" && !strings.Contains(strings.ToLower(r.Text), "verif")
}

// tryControl asks a host that refuses vaguely about its control address: one
// that says no to everybody cannot be told from one that knows nobody else.
func (p *Prober) tryControl(ctx context.Context, s *session, c Calibration, domain string) (Calibration, error) {
	control := p.cfg.Control
	if control == "" {
		control = "postmaster@" + domain
	}
	r, err := s.ask(ctx, c.Method, control)
	if err != nil {
		return c, err
	}
	c.Accepts = question{method: c.Method, address: control}.accepts(r)
	if !c.Accepts {
		c.Why = fmt.Sprintf("it refused its control address %s too (%q): its no is not believed until it accepts some address", control, r)
	}
	return c, nil
}

// report tells the administrator what keeps a host from being of use.
func (p *Prober) report(c Calibration, domain string) {
	switch {
	case c.AcceptsAll:
		p.cfg.Log.Warn("host accepts every address: none of its answers can be believed", "host", p.cfg.Name, "domain", domain, "why", c.Why)
	case c.Method == RCPT && c.Why != "":
		p.cfg.Log.Warn("host is only half known", "host", p.cfg.Name, "domain", domain, "why", c.Why)
	default:
		p.cfg.Log.Info("host is calibrated", "host", p.cfg.Name, "domain", domain, "method", c.Method.String(), "tells", c.Tells, "refusal", c.Refusal.String())
	}
}

// greetingDate is the date in the greetings of Sendmail and Exim, greetingID the
// like of a session's number in others'.
var (
	greetingDate = regexp.MustCompile(`(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? +\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d( [+-]\d{4})?( \(\w+\))?`)
	greetingID   = regexp.MustCompile(`\b[0-9A-Fa-f-]*\d[0-9A-Fa-f-]{7,}\b`)
)

// steadyGreeting is a greeting without what changes from one to the next.
func steadyGreeting(greeting string) string {
	return strings.TrimSpace(greetingID.ReplaceAllString(greetingDate.ReplaceAllString(greeting, ""), ""))
}

// Calibrate finds out how the host answers about the domain, as far as that is
// not known, and returns what was learnt of each method, the one in use last.
func (p *Prober) Calibrate(ctx context.Context, domain string) ([]Calibration, error) {
	held, err := p.acquire(ctx, policy.Address{}.At(domain), false)
	if err != nil {
		return nil, err
	}
	defer p.release(held)
	var all []Calibration
	for _, method := range p.methods() {
		c, _, err := p.calibrate(ctx, held.Value(), method, domain)
		if err != nil {
			return all, err
		}
		all = append(all, c)
		if c.Tells && p.uses(c) {
			break
		}
	}
	return all, nil
}

// uses tells whether a method that tells is good enough. VRFY is used by itself
// only where its no is beyond doubt: Domino refuses groups by VRFY, and takes
// their mail.
func (p *Prober) uses(c Calibration) bool {
	return c.Method == RCPT || p.cfg.Method == VRFY || !isVague(c.Refusal)
}
