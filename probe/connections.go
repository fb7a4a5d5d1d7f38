package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/puddle/v2"

	"postwhere/policy"
)

// connect opens a session for the pool. The pool gives the session to whoever
// waits even if the asker who caused it is gone, so only the values of his
// context count here; the time-outs are the host's.
func (p *Prober) connect(ctx context.Context) (*session, error) {
	return dial(ctx, &p.cfg, p.tracer(ctx))
}

// acquire returns a connection that can carry a question about the address; a
// fresh one has carried none yet. It waits for one if all are in use.
func (p *Prober) acquire(ctx context.Context, a policy.Address, fresh bool) (*puddle.Resource[*session], error) {
	start := time.Now()
	held, err := p.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot be reached: %w", err)
	}
	s := held.Value()
	s.kept = s.asked() > 0 || s.born.Before(start)
	trouble := s.wire.look()
	fit := !fresh && s.fits(a) && !s.spent() && held.IdleDuration() < maxIdle
	switch {
	case trouble == nil && (fit || !s.kept):
	case !s.kept: // the next one would be the same
		held.Destroy()
		return nil, fmt.Errorf("cannot be reached: %w", trouble)
	default:
		s.spoilt = s.spoilt || trouble != nil
		if err := p.renew(ctx, s); err != nil {
			held.Destroy()
			return nil, fmt.Errorf("cannot be reached: %w", err)
		}
	}
	s.wire.trace = p.tracer(ctx)
	return held, nil
}

// renew puts a fresh connection in the place of one that cannot carry the
// question. So the asker need not queue up again, and a host that hangs up on
// each connection sees no storm of them.
func (p *Prober) renew(ctx context.Context, s *session) error {
	s.quit()
	next, err := p.connect(ctx)
	if err != nil {
		s.spoilt = true
		return err
	}
	*s = *next
	return nil
}

// release gives a connection back, or ends it if it has been used enough.
func (p *Prober) release(held *puddle.Resource[*session]) {
	held.Value().wire.trace = nil
	if held.Value().spent() {
		held.Destroy()
	} else {
		held.Release()
	}
}

// closeIdle ends connections that nobody has used for a while: each holds a
// process at the host, which hangs up anyway.
func (p *Prober) closeIdle(ctx context.Context) {
	tick := time.NewTicker(maxIdle / 3)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, held := range p.pool.AcquireAllIdle() {
			if held.IdleDuration() >= maxIdle || held.Value().spent() {
				held.Destroy()
			} else {
				held.ReleaseUnused()
			}
		}
	}
}

// Trace takes the lines of a dialogue: the host's name in the configuration,
// whether the line was sent or received, and the line. It is called concurrently
// for different hosts, and may still be when Ask has returned, by a connection
// that Ask did not wait for; not after Close.
type Trace func(host string, sent bool, line string)

type traceKey struct{}

// WithTrace returns a context with which Ask shows its dialogue, as far as it
// needs one: the beginning of a connection that is kept already is not seen.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

func (p *Prober) tracer(ctx context.Context) func(bool, string) {
	t, ok := ctx.Value(traceKey{}).(Trace)
	if !ok {
		return nil
	}
	return func(sent bool, line string) { t(p.cfg.Name, sent, line) }
}
