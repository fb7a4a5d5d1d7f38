package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"postwhere/policy"
)

// How long a calibration is relied on: one by which the host can be believed,
// and one that the administrator will want to see gone soon.
const (
	calibrationLife = 15 * time.Minute
	acceptsAllLife  = 5 * time.Minute
	unclearLife     = 30 * time.Second
)

// calibrationQuestions is how many questions a calibration takes, with the one
// that it is for.
const calibrationQuestions = 3

// Calibration is what was learnt of how a host answers one kind of question
// about one domain: it was asked about an address that nobody has. The zero
// value is a host of which nothing is known. It is a value.
type Calibration struct {
	Method Method
	// Tells: the host refused the nonsense address, so its yes means something.
	Tells bool
	// AcceptsAll: it accepted the nonsense address by RCPT.
	AcceptsAll bool
	// Unclear: what it said to the nonsense address, or to the control address,
	// was not about the address.
	Unclear bool
	// Refusal is how it refused the nonsense address.
	Refusal policy.Reply
	// Nonsense is the address that nobody has.
	Nonsense string
	// Plain: Refusal is a no from any host, and speaks of nothing else.
	Plain bool
	// Accepts: right after Refusal it accepted its control address; asked for only
	// where Refusal is vague, or speaks of something else than the mailbox.
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

// isDoubtful tells whether its refusals count only while it is seen to accept somebody.
func (c Calibration) isDoubtful() bool {
	return c.Method == Minger || !c.Plain && (isVague(c.Refusal) || isDecisive(c.Refusal))
}

// calibrationKey: a greeting is part of it, so that a host that was replaced, or
// several behind one name, are each known by their own ways.
type calibrationKey struct {
	domain   string
	greeting string
	method   Method
}

// calibrate returns how the host answers questions by this method about the
// domain, and asks it, on this session, if that is not known. Sessions that want
// the same wait for one.
func (p *Prober) calibrate(ctx context.Context, s *session, method Method, domain string) (Calibration, calibrationKey, error) {
	k := calibrationKey{domain: domain, greeting: s.greeting, method: method}
	c, err := p.calibrations.find(ctx, k, func(learnt string) (c Calibration, mine bool, err error) {
		if !s.room(method, calibrationQuestions) && s.asked() > 0 {
			return c, true, errUsedUp
		}
		c, err = p.tryNonsense(ctx, s, method, domain, learnt)
		if err != nil {
			silent := errors.Is(err, os.ErrDeadlineExceeded)
			return c, isOver(ctx) || s.kept || !s.first() && !silent, fmt.Errorf("while it was calibrated: %w", err)
		}
		p.report(c, domain)
		return c, false, nil
	})
	return c, k, err
}

// tryNonsense asks about an address that nobody has, and about the control
// address where the refusal alone would not do.
func (p *Prober) tryNonsense(ctx context.Context, s *session, method Method, domain, learnt string) (Calibration, error) {
	nonsense := "postwhere" + strings.ToLower(rand.Text()[:16]) + "@" + domain
	c := Calibration{Method: method, Nonsense: nonsense, At: time.Now()}
	r, err := p.askUnworn(ctx, s, method, nonsense)
	if err != nil {
		return c, err
	}
	q := question{method: method, address: nonsense, means252: p.cfg.VRFY252}
	switch {
	case q.accepts(r) && method == RCPT:
		c.AcceptsAll = true
		c.Why = fmt.Sprintf("accepts everything: it said %q to an address that nobody has", r)
		return c, nil
	case method == VRFY && (q.accepts(r) || q.read(r).byRCPT && (p.cfg.Method != VRFY || !isVague(r) && !isDecisive(r))):
		// By itself VRFY is used only where its no is beyond doubt: Domino refuses
		// groups by VRFY, and takes their mail.
		c.Why = fmt.Sprintf("VRFY does not tell: it said %q to an address that nobody has", r)
		return c, nil
	case isPlain(r, nonsense), isSoftBounce(r) && aboutUs(r, nonsense) == "":
		c.Tells, c.Refusal, c.Plain = true, r, isPlain(r, nonsense)
		return c, nil
	case !isDecisive(r) && (!isVague(r) || aboutUs(r, nonsense) != ""):
		c.Unclear = true
		c.Why = fmt.Sprintf("cannot be calibrated: it said %q to an address that nobody has", r)
		return c, nil
	}
	c.Tells, c.Refusal = true, r
	return p.tryControl(ctx, s, c, domain, learnt)
}

// askUnworn asks, and makes an error of a reply that is about the connection, if
// that was used before: it must not be remembered as the host's way.
func (p *Prober) askUnworn(ctx context.Context, s *session, method Method, address string) (policy.Reply, error) {
	alsoCounts(p.rate)
	r, err := s.ask(ctx, method, address)
	if err == nil && wearsOut(r) && !s.first() {
		err = s.over
	}
	return r, err
}

// isSoftBounce tells whether a host refuses unknown mailboxes for now only, as
// Postfix with soft_bounce=yes. Its yes can be believed, and its no is never one.
// A host that must look first (reject_unverified_recipient) uses the same code.
func isSoftBounce(r policy.Reply) bool {
	return r.Code == 450 && r.Enhanced == "4.1.1" && !strings.Contains(strings.ToLower(r.Text), "verif")
}

// tryControl asks a host that refuses vaguely about its control address: one
// that says no to everybody cannot be told from one that knows nobody else.
func (p *Prober) tryControl(ctx context.Context, s *session, c Calibration, domain, learnt string) (Calibration, error) {
	for _, control := range p.cfg.controls(domain, learnt, p.testimony.latest(domain)) {
		r, err := p.askUnworn(ctx, s, c.Method, control)
		switch {
		case c.Why != "" && (errors.Is(err, errUsedUp) || isEnd(err)):
			return c, nil // the connection bears no second one
		case err != nil:
			return c, err
		}
		if c.Accepts = (question{method: c.Method, address: control, means252: p.cfg.VRFY252}).accepts(r); c.Accepts {
			c.Unclear, c.Why = false, ""
			break
		}
		c.Unclear = !isVague(r) && !isDecisive(r)
		c.Why = fmt.Sprintf("it refused its control address %s too (%q): its no is not believed until it accepts some address", control, r)
	}
	return c, nil
}

// controls returns the addresses of the domain of which the host should have one: one that it
// has accepted of late, learnt, if there is one; else its witness, if it has one, and what the
// configuration says.
func (c *Config) controls(domain, learnt, witness string) []string {
	switch {
	case learnt != "":
		return []string{learnt}
	case witness != "":
		return []string{witness, c.control(domain)}
	}
	return []string{c.control(domain)}
}

// control returns the address of the domain that the host should have.
func (c *Config) control(domain string) string {
	if strings.HasSuffix(strings.ToLower(c.Control), "@"+strings.ToLower(domain)) {
		return c.Control // one of another domain would not vouch for this one
	}
	return "postmaster@" + domain
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

// steadyGreeting is a greeting without what changes from one to the next. The
// host's name, which comes first, is kept as it is: hosts behind one name may
// differ by a number only.
func steadyGreeting(greeting string) string {
	parts := strings.SplitN(greeting, " ", 3)
	if len(parts) == 3 {
		parts[2] = greetingID.ReplaceAllString(greetingDate.ReplaceAllString(parts[2], ""), "")
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

// Calibrate finds out how the host answers about the domain, as far as that is
// not known, and returns what was learnt of each method, the one in use last.
func (p *Prober) Calibrate(ctx context.Context, domain string) ([]Calibration, error) {
	all, again, err := p.tryCalibrate(ctx, domain, false)
	if again && !isOver(ctx) {
		all, _, err = p.tryCalibrate(ctx, domain, true)
	}
	return all, err
}

// tryCalibrate does so over one connection, as try puts a question.
func (p *Prober) tryCalibrate(ctx context.Context, domain string, fresh bool) (all []Calibration, again bool, err error) {
	held, err := p.queue(ctx, policy.Address{}.At(domain), fresh)
	if err != nil {
		return nil, false, err
	}
	defer p.release(held)
	s := held.Value()
	for _, method := range p.methods() {
		c, _, err := p.calibrate(ctx, s, method, domain)
		if err != nil {
			return all, errors.Is(err, errUsedUp) || !s.first(), err
		}
		all = append(all, c)
		if c.Tells {
			break
		}
	}
	return all, false, nil
}
