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
	for {
		held, err := p.pool.Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot be reached: %w", err)
		}
		s := held.Value()
		if fresh && s.used() || !s.fits(a) || !s.wire.usable() {
			s.spoilt = s.spoilt || !s.wire.usable()
			held.Destroy()
			continue
		}
		s.wire.trace = p.tracer(ctx)
		return held, nil
	}
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
// for different hosts.
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
