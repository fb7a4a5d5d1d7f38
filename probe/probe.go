// Package probe asks one mail host about one address, by SMTP VRFY or RCPT TO.
//
// A Prober keeps a few connections to its host (session, on a wire), finds out
// how the host answers before it believes it (calibration), puts the question,
// and reads the reply (reply, meaning). Whatever is not a definite yes or no
// about the very address is unsure.
package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"
	"golang.org/x/time/rate"

	"postwhere/policy"
)

// Config says how one host is asked. Name, Endpoint, Helo, Connections, Log and
// the time-outs must be set.
type Config struct {
	Name           string // the host's name in the configuration
	Endpoint       Endpoint
	Method         Method     // Auto by default
	VRFY252        Meaning252 // EchoMeansYes by default
	Helo           string     // EHLO name, marked by policy.ProbeHelo
	Sender         string     // of MAIL FROM; "" is <>
	SecondSender   string     // of MAIL FROM where <> is refused; "": there is none
	Control        string     // an address that the host has; "": postmaster at the domain
	Security       Security
	BindAddress    netip.Addr    // where connections come from; zero: the kernel chooses
	Connections    int           // at most so many at once
	Rate           int           // at most so many questions a second; 0: any number
	ConnectTimeout time.Duration // for the connection
	ReplyTimeout   time.Duration // for greeting and EHLO together, and for each reply
	MostAge        time.Duration // how long a connection is asked: what is said over it is as old. 0, and beyond: a minute
	Log            *slog.Logger
	Known          Knowledge // what was learnt of this host before; zero: nothing
	// Drained tells whether the host is out of the asking: no question is put and no
	// connection opened. It is called concurrently. nil: it is not.
	Drained func() bool

	dial   func(ctx context.Context, network, address string) (net.Conn, error) // set by tests
	learnt *learnt
}

// learnt is what was learnt of a host's connections.
type learnt struct {
	budget    *budget
	pace      pace
	silence   silence
	testimony *testimony
	sessions  tls.ClientSessionCache
}

// Prober asks one host. It implements policy.Prober and may be used concurrently.
type Prober struct {
	cfg          Config
	pool         *puddle.Pool[*session]
	health       *health
	rate         *rate.Limiter // nil: there is none
	calibrations calibrations
	testimony    *testimony
	tally        tally
	asking       atomic.Int32 // questions under way
	queueing     atomic.Int32 // those that wait for a connection of their own
	grants       grants
	leaving      atomic.Int32 // connections that were left, without a place in the pool
	crowd        crowd
	ctx          context.Context // of what no asker waits for; Close ends it
	stop         context.CancelFunc
	helpers      sync.WaitGroup // what tidies, warms up, reads pipes and says goodbye

	mu      sync.Mutex
	warming int // connections that are opened ahead
	closed  bool
}

// New returns a Prober, which opens no connection until it is asked. Close ends it.
func New(cfg Config) (*Prober, error) {
	cfg.learnt = &learnt{budget: newBudget(), testimony: newTestimony(&cfg), sessions: tls.NewLRUClientSessionCache(8)}
	if cfg.MostAge <= 0 || cfg.MostAge > maxAge {
		cfg.MostAge = maxAge
	}
	if cfg.dial == nil {
		cfg.dial = cfg.dialer()
	}
	p := &Prober{cfg: cfg, rate: cfg.limiter()}
	p.testimony = cfg.learnt.testimony
	p.remember(cfg.Known)
	pool, err := puddle.NewPool(&puddle.Config[*session]{
		Constructor: p.connect,
		Destructor:  p.bury,                                    // in a goroutine of the pool's
		MaxSize:     int32(min(max(cfg.Connections, 1), 1000)), //nolint:gosec // bounded right here
	})
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", cfg.Name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p.pool, p.ctx, p.stop = pool, ctx, stop
	p.health = newHealth(cfg.Log.With("host", cfg.Name), p.openAhead)
	p.helpers.Go(func() { p.closeIdle(ctx) })
	return p, nil
}

// Close ends the connections, each with QUIT, and returns when all are closed.
// Questions under way are answered first; those that come later are Unsure.
func (p *Prober) Close() {
	p.stop()
	p.health.close()
	p.crowd.close()
	p.pool.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.helpers.Wait()
}

// Ask returns what the host says about the address. A question that was spoilt
// by its connection is put once more on a fresh one.
func (p *Prober) Ask(ctx context.Context, a policy.Address) (answer policy.Answer) {
	defer func() { p.tally.count(answer.Says) }()
	if a.Local() == "" || a.Domain() == "" {
		return policy.UnsureOf(p.cfg.Name, "not asked: no address")
	}
	if p.cfg.drained() {
		return policy.UnsureOf(p.cfg.Name, "%s", errDrained)
	}
	p.asking.Add(1)
	defer p.asking.Add(-1)
	if p.crowded(a) {
		if answer, ok := p.askInCrowd(ctx, a); ok {
			return answer
		}
	}
	var again error
	answer, again = p.try(ctx, a, false)
	if again != nil && !isOver(ctx) {
		answer, again = p.try(ctx, a, true)
	}
	if errors.Is(again, errUsedUp) && !isOver(ctx) { // by calibrating the host
		answer, _ = p.try(ctx, a, true)
	}
	return answer
}

// try puts the question over one connection, which carries questions for the
// first time if fresh. again is why another connection might do better, nil if it
// would not: this one was kept, or worn by what was asked before.
func (p *Prober) try(ctx context.Context, a policy.Address, fresh bool) (answer policy.Answer, again error) {
	start := time.Now()
	defer func() { answer.Took = time.Since(start) }()
	if err := waitFor(ctx, p.rate); err != nil {
		return policy.UnsureOf(p.cfg.Name, "%s", err), nil
	}
	held, err := p.queue(ctx, a, fresh)
	if err != nil {
		return policy.UnsureOf(p.cfg.Name, "%s", printable(err.Error())), nil
	}
	s, whole := held.Value(), false
	defer func() {
		s.spoilt = s.spoilt || !whole // a fault of ours may have left a reply unread
		p.release(held)
		p.serveLine()
	}()
	answer = policy.Answer{Host: p.cfg.Name, At: time.Now()}
	m, err := p.question(ctx, s, a, &answer)
	whole = true
	switch {
	case err != nil:
		answer.Says, answer.Why, answer.Denied = policy.Unsure, explain(err), m.denied
		if errors.Is(err, errNoUTF8) || !errors.Is(err, errUsedUp) && s.first() {
			return answer, nil
		}
		return answer, err
	case m.says == policy.Unsure:
		answer.Why = fmt.Sprintf("%q: %s", answer.Reply, m.why)
		if answer.Reply.Code == 0 {
			answer.Why = m.why
		}
	}
	s.spoilt = s.spoilt || m.worn
	answer.Says, answer.Weak, answer.Denied = m.says, m.weak, m.denied
	if m.says == policy.No {
		answer.At = s.born // the host may not have looked since
		if s.kept && s.aged() {
			return policy.UnsureOf(p.cfg.Name, "its no grew too old while it was waited for"), errUsedUp
		}
	}
	if m.worn && !s.first() {
		return answer, s.over
	}
	return answer, nil
}

// limiter returns what keeps questions to the host's rate, nil if it has none.
func (c *Config) limiter() *rate.Limiter {
	if c.Rate <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(c.Rate), c.Rate)
}

// alsoCounts counts a question of our own, which has begun with an asker's and does
// not wait: those that come after it do.
func alsoCounts(limit *rate.Limiter) {
	if limit != nil {
		limit.Reserve()
	}
}

// waitFor waits until a question may be put.
func waitFor(ctx context.Context, limit *rate.Limiter) error {
	if limit == nil {
		return nil
	}
	if err := limit.Wait(ctx); err != nil {
		return fmt.Errorf("too many questions at once: %w", err)
	}
	return nil
}

// question asks by the method that tells, VRFY first, and returns what the reply
// means. It notes method and reply in the answer.
func (p *Prober) question(ctx context.Context, s *session, a policy.Address, answer *policy.Answer) (meaning, error) {
	m := meaning{says: policy.Unsure}
	for _, method := range p.methods() {
		if method == VRFY && !a.IsASCII() {
			m.why = "VRFY does not tell about an address that needs SMTPUTF8"
			continue // Sendmail reads the parameter as another address
		}
		c, k, err := p.calibrate(ctx, s, method, a.Domain())
		if err != nil {
			return m, err
		}
		m.why = c.Why
		if !c.Tells {
			continue
		}
		if !s.room(method, 1) && s.asked() > 0 {
			return m, errUsedUp
		}
		answer.Method = method.String()
		q := question{method: method, address: a.String(), calibration: c, means252: p.cfg.VRFY252}
		if answer.Reply, err = s.ask(ctx, method, q.address); err != nil {
			return m, err
		}
		m = q.read(answer.Reply)
		switch m.says {
		case policy.Yes:
			p.calibrations.sawAcceptance(k, q.address)
			p.testimony.yes(a.Domain(), s.speaker, q.address, time.Now())
		case policy.No:
			if m, err = p.vouch(ctx, s, q, a.Domain(), m); err != nil {
				return m, err
			}
		}
		if !m.byRCPT {
			break
		}
	}
	return m, nil
}

// methods returns how the host is to be asked, in order.
func (p *Prober) methods() []Method {
	switch {
	case p.cfg.Method == VRFY && !p.cfg.Endpoint.LMTP:
		return []Method{VRFY}
	case p.cfg.Method == RCPT || p.cfg.Endpoint.LMTP: // LMTP servers know VRFY at best by name
		return []Method{RCPT}
	}
	return []Method{VRFY, RCPT}
}

// explain says what went wrong in words for the log.
func explain(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case isEnd(err):
		return "the host hung up"
	}
	return printable(err.Error())
}
