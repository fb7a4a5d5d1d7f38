package probe

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"
)

// How often a host that is down is tried: soon at first, for it may just have
// been started again, and then with patience.
const (
	firstTry  = 100 * time.Millisecond
	lastTry   = 5 * time.Second
	lastLogin = 5 * time.Minute // where it is our login that is refused
)

// errDown: the host is known to be down. Nobody waits for it.
var errDown = errors.New("cannot be reached")

// errBusy: the host has as many connections as it wants. It is not down.
var errBusy = errors.New("the host wants no more connections")

// errGivenUp: the asker's time was up before the host's. That says nothing of it.
var errGivenUp = errors.New("not waited for")

// errSilent: a host that is asked by datagrams was silent for so long, to everybody,
// that it is taken to be down.
var errSilent = errors.New("no answer in time")

// errPassedOver: it was silent to this question only.
var errPassedOver = errors.New("no answer to this question in time")

// health is the breaker of one host. A connection that could not be opened, or a
// datagram that nobody answers, opens it: from then on who asks is told at once, and
// the host is tried in the background until it answers. It may be used concurrently;
// close ends it.
type health struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
	outage  atomic.Pointer[outage]
	why     atomic.Pointer[error] // why the host could not be reached the last time
	reached atomic.Bool           // it was once
	log     *slog.Logger
	revive  func(context.Context) error // tries to reach it, by reach

	up atomic.Pointer[upTime]

	mu     sync.Mutex // nobody begins to try while close begins to wait
	ctx    context.Context
	stop   context.CancelFunc
	trying sync.WaitGroup
}

// outage is what is known of a host that is down.
type outage struct {
	since time.Time
	why   error
}

// upTime ends when the host is found to be silent.
type upTime struct {
	context.Context
	end context.CancelFunc
}

func newUpTime() *upTime {
	ctx, end := context.WithCancel(context.Background())
	return &upTime{ctx, end}
}

// newHealth returns the health of a host that is taken to be up. revive tries to
// reach it by reach.
func newHealth(log *slog.Logger, revive func(context.Context) error) *health {
	h := &health{log: log, revive: revive}
	h.up.Store(newUpTime())
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     firstTry / 2, // half open when the background tries
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures > 0 },
		IsExcluded: func(err error) bool {
			return errors.Is(err, errGivenUp) || errors.Is(err, context.Canceled) || errors.Is(err, errNotByMinger)
		},
		// A host that has as many connections as it wants is up, and has answered, as
		// one that has answered others.
		IsSuccessful: func(err error) bool {
			return err == nil || errors.Is(err, errBusy) || errors.Is(err, errPassedOver)
		},
		OnStateChange: h.changed,
	})
	return h
}

type revivingKey struct{}

// reach runs try, which says whether the host could be reached, unless it is known to
// be down.
func (h *health) reach(ctx context.Context, try func() error) error {
	if err := h.err(); err != nil && ctx.Value(revivingKey{}) == nil {
		return err
	}
	_, err := h.breaker.Execute(func() (struct{}, error) {
		err := try()
		if err != nil {
			if isOver(ctx) && !errors.Is(err, errSilent) {
				err = fmt.Errorf("%w: %w", errGivenUp, err)
			}
			h.why.Store(&err)
		} else {
			h.reached.Store(true)
		}
		return struct{}{}, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		if down := h.err(); down != nil {
			err = down
		}
	}
	return err
}

// err returns why the host is not asked, nil if it is.
func (h *health) err() error {
	o := h.outage.Load()
	if o == nil {
		return nil
	}
	return fmt.Errorf("%w since %s: %w", errDown, o.since.Format(time.TimeOnly), o.why)
}

// whileUp returns a context that ends with ctx, and as soon as the host is found to be
// silent: who waits for another connection to it would wait in vain. done is to be
// called.
func (h *health) whileUp(ctx context.Context) (up context.Context, done func()) {
	up, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(h.up.Load(), cancel)
	return up, func() {
		stop()
		cancel()
	}
}

// changed is called with the breaker's lock held.
func (h *health) changed(_ string, from, to gobreaker.State) {
	switch {
	case to == gobreaker.StateClosed:
		h.up.Store(newUpTime())
		o := h.outage.Swap(nil)
		h.log.Info("host is up again", "down_for", time.Since(o.since).Round(time.Millisecond).String())
	case from == gobreaker.StateClosed:
		o := &outage{since: time.Now(), why: *h.why.Load()}
		h.outage.Store(o)
		h.log.Warn("host is down: it is tried again in the background", "why", o.why.Error())
		if timeout := net.Error(nil); errors.As(o.why, &timeout) && timeout.Timeout() {
			h.up.Load().end()
		}
		h.try()
	}
}

// try has the host tried in the background, unless that has been ended: an asker
// may find a host down while its prober closes.
func (h *health) try() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() == nil {
		h.trying.Go(h.keepTrying)
	}
}

// keepTrying tries the host until it can be reached.
func (h *health) keepTrying() {
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = firstTry, lastTry
	for h.err() != nil {
		timer := time.NewTimer(pace.NextBackOff())
		select {
		case <-timer.C:
		case <-h.ctx.Done():
			timer.Stop()
			return
		}
		_ = h.revive(context.WithValue(h.ctx, revivingKey{}, true)) // it shows in err
		switch refused := errors.As(*h.why.Load(), new(loginError)); {
		case refused:
			pace.MaxInterval = lastLogin
		case pace.MaxInterval == lastLogin:
			pace.MaxInterval = lastTry
			pace.Reset()
		}
	}
}

// close ends the trying.
func (h *health) close() {
	h.mu.Lock()
	h.stop()
	h.mu.Unlock()
	h.trying.Wait()
}
