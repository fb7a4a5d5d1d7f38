package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/time/rate"

	"postwhere/policy"
)

// mingerNameLife is how long the address of a host's name is kept: every
// question has a socket of its own, and would look the name up otherwise.
const mingerNameLife = 30 * time.Second

// MingerProber asks one host by Minger. It implements policy.Prober and may be
// used concurrently.
//
// A reply is a datagram that anybody can write whose network lets him use the
// host's address. Every question goes out from a socket of its own, connected to
// the host, with a port that the kernel draws anew. That protects from replies to
// other questions, from late ones, and from whoever does not see the question and
// must guess the port while the host has not answered yet. It does not protect
// from who sees the question or can write to all ports in that time. Where that
// may be, and a false no would be dear, RCPT or VRFY is the method.
type MingerProber struct {
	cfg          Config
	secret       string
	slots        chan struct{} // one for each question under way
	closing      chan struct{} // closed by Close
	rate         *rate.Limiter // nil: there is none
	closed       sync.Once
	health       *health
	calibrations calibrations
	testimony    *testimony
	tally        tally
	heard        atomic.Pointer[time.Time] // when it answered last; nil: never
	domain       atomic.Pointer[string]    // that was asked about last

	mu     sync.Mutex
	remote string    // the host's address
	found  time.Time // when it was looked up
}

// NewMinger returns a MingerProber, which opens no socket until it is asked. Of
// the Config, Method, Helo and Sender are not used; Connections is how many
// questions may be under way at once, ConnectTimeout is for looking up the host's
// name, and ReplyTimeout for a question with all its repetitions. secret is what
// the host shares with those who may ask it, "" for a host that anybody may ask.
// It is in no error, log or trace.
func NewMinger(cfg Config, secret string) (*MingerProber, error) {
	if strings.ContainsFunc(secret, unicode.IsControl) {
		return nil, fmt.Errorf("host %s: there is a control character or the end of a line in the shared secret", cfg.Name)
	}
	if cfg.Control != "" {
		if err := askableByMinger(cfg.Control); err != nil {
			return nil, fmt.Errorf("host %s: control %s: %w", cfg.Name, cfg.Control, err)
		}
	}
	p := &MingerProber{
		cfg: cfg, secret: secret,
		slots:   make(chan struct{}, min(max(cfg.Connections, 1), 1000)),
		closing: make(chan struct{}),
		rate:    cfg.limiter(),
	}
	p.testimony = newTestimony(&cfg)
	p.testimony.askable = askableByMinger
	p.health = newHealth(cfg.Log.With("host", cfg.Name), p.knock)
	if now := time.Now(); cfg.Known.Version == knowledgeVersion {
		p.calibrations.restore(cfg.Known.Calibrations, now)
		p.testimony.restore(cfg.Known.Witnesses, now)
	}
	return p, nil
}

// errMingerClosed: the question came when the prober was closed.
var errMingerClosed = errors.New("not asked any more")

// Close returns when the questions under way are answered. Those that come later
// are Unsure.
func (p *MingerProber) Close() {
	p.closed.Do(func() {
		close(p.closing)
		p.health.close()
		for range cap(p.slots) {
			p.slots <- struct{}{}
		}
	})
}

// enter waits for a place among the questions under way, unless the host is not to be
// asked or known to be down. After nil, leave gives it back.
func (p *MingerProber) enter(ctx context.Context) error {
	if p.cfg.drained() {
		return errDrained
	}
	if err := p.health.err(); err != nil {
		return err
	}
	select {
	case p.slots <- struct{}{}:
		return nil
	case <-p.closing:
		return errMingerClosed
	case <-ctx.Done():
		return fmt.Errorf("too many questions are under way: %w", ctx.Err())
	}
}

func (p *MingerProber) leave() { <-p.slots }

// Ask returns what the host says about the address.
func (p *MingerProber) Ask(ctx context.Context, a policy.Address) (answer policy.Answer) {
	start := time.Now()
	defer func() {
		answer.Took = time.Since(start)
		p.tally.count(answer.Says)
	}()
	if err := askableByMinger(a.String()); err != nil {
		return policy.UnsureOf(p.cfg.Name, "%s", err)
	}
	if err := p.enter(ctx); err != nil {
		return policy.UnsureOf(p.cfg.Name, "%s", printable(err.Error()))
	}
	defer p.leave()
	if err := waitFor(ctx, p.rate); err != nil {
		return policy.UnsureOf(p.cfg.Name, "%s", err)
	}
	answer = policy.Answer{Host: p.cfg.Name, Says: policy.Unsure, At: time.Now()}
	m := meaning{says: policy.Unsure}
	err := p.reach(ctx, a.Domain(), func(remote string) (err error) {
		m, err = p.question(ctx, remote, a, &answer)
		return err
	})
	switch {
	case err != nil:
		m, answer.Why = meaning{says: policy.Unsure, denied: m.denied}, explain(err)
	case m.says == policy.Unsure && answer.Reply.Text != "":
		answer.Why = fmt.Sprintf("%q: %s", answer.Reply, m.why)
	case m.says == policy.Unsure:
		answer.Why = m.why
	}
	answer.Says, answer.Weak, answer.Denied = m.says, m.weak, m.denied
	return answer
}

// question asks a host that tells, and returns what the reply means. It notes
// method and reply in the answer.
func (p *MingerProber) question(ctx context.Context, remote string, a policy.Address, answer *policy.Answer) (meaning, error) {
	unsure := meaning{says: policy.Unsure}
	c, k, err := p.calibrate(ctx, remote, a.Domain())
	if err != nil {
		return unsure, err
	}
	if !c.Tells {
		unsure.why = c.Why
		return unsure, nil
	}
	answer.Method = "minger"
	by := &speaker{voice: remote, born: time.Now()}
	r, err := p.exchange(ctx, remote, a.String())
	if err != nil {
		return unsure, err
	}
	answer.Reply = r.reply()
	m := r.weigh(c)
	switch m.says {
	case policy.Yes:
		p.calibrations.sawAcceptance(k, a.String())
		p.testimony.yes(a.Domain(), by, a.String(), time.Now())
	case policy.No:
		return p.vouch(ctx, by, a.Domain(), a.String(), m)
	}
	return m, nil
}

// resolve returns the address of the host. All questions of a while go to the
// same one of several.
func (p *MingerProber) resolve(ctx context.Context) (string, error) {
	p.mu.Lock()
	remote, fresh := p.remote, time.Since(p.found) < mingerNameLife
	p.mu.Unlock()
	if remote != "" && fresh {
		return remote, nil
	}
	conn, err := p.open(ctx, p.cfg.Endpoint.Address)
	if err != nil {
		return "", err
	}
	remote = conn.RemoteAddr().String()
	_ = conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remote, p.found = remote, time.Now()
	return remote, nil
}

// calibrate returns how the host at this address answers about the domain, and
// asks it if that is not known. Questions that want the same wait for one.
func (p *MingerProber) calibrate(ctx context.Context, remote, domain string) (Calibration, calibrationKey, error) {
	// The address stands where SMTP has the greeting: several hosts behind one
	// name are each known by their own ways.
	k := calibrationKey{domain: domain, greeting: remote, method: Minger}
	c, err := p.calibrations.find(ctx, k, func(learnt string) (Calibration, bool, error) {
		c, err := p.tryNonsense(ctx, remote, domain, learnt)
		if err != nil {
			return c, ctx.Err() != nil && !errors.Is(err, errSilent), fmt.Errorf("while it was calibrated: %w", err)
		}
		p.report(c, domain)
		return c, false, nil
	})
	return c, k, err
}

// tryNonsense asks about an address that nobody has, and then about one that
// somebody should have.
func (p *MingerProber) tryNonsense(ctx context.Context, remote, domain, learnt string) (Calibration, error) {
	// mingerd has room for a local part of 31 octets.
	c := Calibration{Method: Minger, Nonsense: "postwhere" + strings.ToLower(rand.Text()[:16]) + "@" + domain, At: time.Now()}
	alsoCounts(p.rate)
	r, err := p.exchange(ctx, remote, c.Nonsense)
	if err != nil {
		return c, err
	}
	switch m := r.read(); m.says {
	case policy.Yes:
		c.AcceptsAll = true
		c.Why = fmt.Sprintf("accepts everything: it said %q about an address that nobody has", r.reply())
		return c, nil
	case policy.No:
		c.Tells, c.Refusal = true, r.reply()
	default:
		c.Unclear = true
		c.Why = fmt.Sprintf("cannot be calibrated: it said %q about an address that nobody has: %s", r.reply(), m.why)
		return c, nil
	}
	for _, control := range p.cfg.controls(domain, learnt, p.testimony.latest(domain)) {
		alsoCounts(p.rate)
		if r, err = p.exchange(ctx, remote, control); err != nil {
			return c, err
		}
		m := r.read()
		if c.Accepts, c.Unclear = m.says == policy.Yes, m.says == policy.Unsure; c.Accepts {
			c.Why = ""
			break
		}
		c.Why = fmt.Sprintf("it does not have its control address %s (%q): its no is not believed until it accepts some address", control, r.reply())
	}
	return c, nil
}

// report tells the administrator what keeps a host from being of use.
func (p *MingerProber) report(c Calibration, domain string) {
	log := p.cfg.Log.With("host", p.cfg.Name, "domain", domain, "method", "minger")
	switch {
	case c.AcceptsAll:
		log.Warn("host accepts every address: none of its answers can be believed", "why", c.Why)
	case c.Why != "":
		log.Warn("host is only half known", "why", c.Why)
	default:
		log.Info("host is calibrated", "refusal", c.Refusal.String())
	}
}

// Calibrate finds out how the host answers about the domain, if that is not
// known, and returns what was learnt.
func (p *MingerProber) Calibrate(ctx context.Context, domain string) ([]Calibration, error) {
	if err := p.enter(ctx); err != nil {
		return nil, err
	}
	defer p.leave()
	var c Calibration
	err := p.reach(ctx, domain, func(remote string) (err error) {
		c, _, err = p.calibrate(ctx, remote, domain)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []Calibration{c}, nil
}

// reach runs ask, which asks the host about the domain, with the host's address,
// unless the host is known to be down.
func (p *MingerProber) reach(ctx context.Context, domain string, ask func(remote string) error) error {
	p.domain.Store(&domain)
	return p.health.reach(ctx, func() (err error) {
		defer func() {
			if fault := p.cfg.fault(recover()); fault != nil {
				err = fault
			}
		}()
		remote, err := p.resolve(ctx)
		if err != nil {
			return err
		}
		return ask(remote)
	})
}

// knock asks a host that is down about the control address of the domain that it was
// asked about last. Whatever it says to that, it answers.
func (p *MingerProber) knock(ctx context.Context) error {
	if p.cfg.drained() {
		return errDrained
	}
	domain := *p.domain.Load()
	return p.reach(ctx, domain, func(remote string) error {
		_, err := p.exchange(ctx, remote, p.cfg.control(domain))
		if errors.Is(err, errNotByMinger) {
			return nil // whoever asks next finds out
		}
		return err
	})
}
