package probe

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/jackc/puddle/v2"

	"postwhere/policy"
)

// connect opens a session, unless the host wants no more beside those that there
// are. The pool gives the session to whoever waits even if the asker who caused it
// is gone, so only the values of his context count here; the time-outs are the
// host's.
func (p *Prober) connect(ctx context.Context) (*session, error) {
	if p.cfg.drained() {
		return nil, errDrained // no matter of the host's health
	}
	alone, ok := p.grants.begin(time.Now())
	if !ok {
		return nil, errBusy
	}
	var s *session
	err := p.health.reach(ctx, func() (err error) {
		s, err = p.dial(ctx)
		if errors.Is(err, errBusy) && p.grants.refused(alone, time.Now()) {
			err = fmt.Errorf("%w: %s", errGreeting, err.Error())
		}
		return err
	})
	if err != nil {
		p.grants.failed()
		return nil, err
	}
	p.grants.granted()
	s.ended = p.grants.ended
	return s, nil
}

// dial does so; a fault of ours is an error, for the goroutine is the pool's.
func (p *Prober) dial(ctx context.Context) (s *session, err error) {
	defer func() {
		if fault := p.cfg.fault(recover()); fault != nil {
			s, err = nil, fault
		}
	}()
	return dial(ctx, &p.cfg, p.tracer(ctx))
}

// fault makes an error of what recover returned, and logs it; nil of nil. In a
// goroutine that no asker waits for a fault of ours would end the program.
func (c *Config) fault(recovered any) error {
	if recovered == nil {
		return nil
	}
	c.Log.Error("probe failed", "host", c.Name, "fault", recovered, "stack", string(debug.Stack()))
	return fmt.Errorf("internal fault: %v", recovered)
}

// leave ends a session, and keeps its place until the host has said farewell, or
// ctx has ended: the host never sees more connections than it was to have.
func leave(ctx context.Context, s *session) {
	defer s.leave(ctx)()
	s.end()
}

// bury ends a session whose place is not to be kept by a fault of ours.
func (p *Prober) bury(s *session) {
	defer func() { _ = p.cfg.fault(recover()) }()
	leave(context.Background(), s)
}

// leaveSoon ends a session with a host that is far away. Its place is free at
// once: the host hears the QUIT before it sees the next connection, and the
// farewell takes a round trip. It tells whether it did.
func (p *Prober) leaveSoon(held *puddle.Resource[*session]) bool {
	if !p.vacate(held) {
		return false
	}
	p.sayGoodbye(held.Value())
	return true
}

// vacate frees the place of a session that is about to be left, for the next
// connection. It tells whether it did: a host that takes longer to see that it is left
// may have half as many connections more than it was to have. It ends with sayGoodbye.
func (p *Prober) vacate(held *puddle.Resource[*session]) bool {
	if int(p.leaving.Add(1)) > max(p.cfg.Connections/2, 1) {
		p.leaving.Add(-1)
		return false
	}
	p.helpers.Add(1) // before Close need not wait for the pool any more
	held.Hijack()
	p.warmUp()
	return true
}

// sayGoodbye ends a session that has no place any more.
func (p *Prober) sayGoodbye(s *session) {
	_ = s.leave(context.Background()) // which never is done
	go func() {
		defer p.helpers.Done()
		defer p.leaving.Add(-1)
		defer func() { _ = p.cfg.fault(recover()) }()
		s.end()
	}()
}

// warmUp opens a connection ahead if no other is ready: the next question finds
// it there. The more questions are under way, the more are opened at once.
func (p *Prober) warmUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	asking, spare := p.asking.Load(), int32(0)
	if p.cfg.learnt.pace.isFar() {
		spare = 2 + asking/3 // opening one takes as long as several questions
	}
	if p.closed || p.cfg.drained() || p.warming > int(asking)/3 || p.pool.Stat().IdleResources() > spare || p.health.err() != nil ||
		p.grants.full() {
		return
	}
	p.warming++
	p.helpers.Go(func() {
		if p.openAhead(context.Background()) == nil { // there may be no room for it, or no host
			p.serveLine()
		}
		p.mu.Lock()
		p.warming--
		p.mu.Unlock()
	})
}

// openAhead opens a connection that is kept until a question comes.
func (p *Prober) openAhead(ctx context.Context) error {
	err := p.pool.CreateResource(ctx)
	p.leaveDrained()
	return err
}

// acquire returns a connection that can carry a question about the address; a
// fresh one has carried none yet. It waits for one if all are in use, and if the
// host wants no more than there are.
func (p *Prober) acquire(ctx context.Context, a policy.Address, fresh bool) (*puddle.Resource[*session], error) {
	for {
		held, err := p.grant(ctx, a, fresh)
		if !errors.Is(err, errBusy) {
			return held, err
		}
		select {
		case <-time.After(busyPause):
		case <-ctx.Done():
			return nil, p.unreachable(ctx.Err())
		}
	}
}

// queue does so for who asks one by one.
func (p *Prober) queue(ctx context.Context, a policy.Address, fresh bool) (*puddle.Resource[*session], error) {
	p.queueing.Add(1) // so that pipes make room
	defer p.queueing.Add(-1)
	return p.acquire(ctx, a, fresh)
}

// grant acquires one, but for the waiting for a host that wants no more: that is errBusy.
func (p *Prober) grant(ctx context.Context, a policy.Address, fresh bool) (*puddle.Resource[*session], error) {
	if p.cfg.drained() {
		return nil, errDrained
	}
	up, done := ctx, func() {}
	switch down := p.health.err(); {
	case down == nil:
		up, done = p.health.whileUp(ctx)
	case p.pool.Stat().IdleResources() == 0:
		return nil, down // nobody waits for it
	}
	defer done()
	start := time.Now()
	held, err := p.pool.Acquire(up)
	if err != nil {
		return nil, p.unreachable(err)
	}
	s := held.Value()
	s.kept = s.asked() > 0 || s.born.Before(start)
	trouble := s.wire.look()
	if s.kept && s.over == nil && p.cfg.learnt.silence.suspects(s.heard) {
		s.over = errSuspect
	}
	fit := !fresh && s.fits(a) && !s.spent() && held.IdleDuration() < maxIdle
	switch {
	case trouble == nil && (fit || !s.kept):
	case !s.kept: // the next one would be the same
		held.Destroy()
		return nil, p.unreachable(trouble)
	default:
		s.spoilt = s.spoilt || trouble != nil || s.over != nil
		if err := p.renew(up, held); err != nil {
			return nil, p.unreachable(err)
		}
	}
	s.wire.trace = p.tracer(ctx)
	return held, nil
}

// unreachable says what an error means, once.
func (p *Prober) unreachable(err error) error {
	if errors.Is(err, errDown) || errors.Is(err, errDrained) {
		return err
	}
	if down := p.health.err(); down != nil && errors.Is(err, context.Canceled) {
		return down // not waited for any longer
	}
	return fmt.Errorf("%w: %w", errDown, err)
}

// renew puts a fresh connection in the place of one that cannot carry the
// question. So the asker need not queue up again, and a host that hangs up on
// each connection sees no storm of them. After an error held is no more his. If he does
// not wait for it, it is kept for another asker: an attempt that ended with him would
// not show that the host is down.
func (p *Prober) renew(ctx context.Context, held *puddle.Resource[*session]) error {
	leave(ctx, held.Value())
	next := make(chan error, 1)
	p.helpers.Go(func() { next <- p.refill(ctx, held) })
	select {
	case err := <-next:
		if err != nil {
			held.Destroy()
		}
		return err
	case <-ctx.Done():
		p.helpers.Go(func() {
			if <-next != nil {
				held.Destroy()
				return
			}
			p.release(held)
			p.serveLine()
		})
		return ctx.Err()
	}
}

// refill opens the connection, by the host's time-outs.
func (p *Prober) refill(ctx context.Context, held *puddle.Resource[*session]) error {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(p.ctx, stop)()
	s := held.Value()
	fresh, err := p.connect(ctx)
	if err != nil {
		s.spoilt = true
		return err
	}
	*s = *fresh
	return nil
}

// release gives a connection back, or ends it if it has been used enough.
func (p *Prober) release(held *puddle.Resource[*session]) {
	s := held.Value()
	s.wire.trace = nil
	if !s.spent() {
		nearly := !s.room(VRFY, 3) || p.cfg.learnt.pace.isFar()
		held.Release()
		p.leaveDrained()
		if nearly {
			p.warmUp()
		}
		return
	}
	s.lasted()
	if p.cfg.learnt.pace.isFar() && !s.spoilt && p.leaveSoon(held) {
		return
	}
	held.Destroy()
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
