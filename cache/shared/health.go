package shared

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/sony/gobreaker/v2"
)

// How often a server that is away is tried.
const (
	firstTry = 100 * time.Millisecond
	lastTry  = 5 * time.Second
	// steady is how long it must be there before it is tried that soon again: one
	// that comes and goes is left alone for longer each time.
	steady = time.Minute
	// The server is away if maxFailures batches of look-ups in a row were in vain, and that for
	// maxSilence. Those that are under way at one moment all are if the server forks, or
	// this machine is busy.
	maxFailures = 3
	maxSilence  = 200 * time.Millisecond
)

// errBusy: all connections are in use. The server is not away for that.
var errBusy = errors.New("all connections are in use")

// health is the breaker of the server. While it is open nobody asks the server, but
// for one who tries it in the background. It may be used concurrently; close ends it.
type health struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
	outage  atomic.Pointer[outage]
	certain atomic.Bool  // the failure that is reported needs no second
	sure    bool         // the last failure was such a one; the breaker's lock is for this
	silent  atomic.Int64 // since when look-ups are in vain, as nanoseconds since born; 0: they are not
	born    time.Time
	why     atomic.Pointer[error] // of the last failure
	gone    chan struct{}         // has an element while the server may be away
	log     *slog.Logger
	try     func(context.Context) error

	mu   sync.Mutex
	back chan struct{} // closed when the server is there; nil: it is
	slow bool          // it is away for look-ups only, as far as is known: they do not wait long

	ctx    context.Context
	stop   context.CancelFunc
	trying sync.WaitGroup
}

type outage struct {
	since time.Time
	why   error
}

// newHealth returns the health of a server that is taken to be there. try finds out
// whether it is.
func newHealth(log *slog.Logger, try func(context.Context) error) *health {
	h := &health{log: log, try: try, born: time.Now(), gone: make(chan struct{}, 1)}
	h.ctx, h.stop = context.WithCancel(context.Background())
	h.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout: firstTry / 4, // half open when the background tries
		ReadyToTrip: func(c gobreaker.Counts) bool {
			h.sure = h.certain.Swap(false)
			return h.sure || c.ConsecutiveFailures >= maxFailures && h.silence() >= maxSilence
		},
		IsExcluded:    isNothing,
		OnStateChange: h.changed,
	})
	h.trying.Go(h.keepTrying)
	return h
}

// ask returns what a question to the server does, unless it is known to be away.
func (h *health) ask(question func() error) error {
	if h.outage.Load() != nil {
		return errAway
	}
	_, err := h.breaker.Execute(func() (struct{}, error) {
		err := question()
		switch {
		case err == nil:
			h.silent.Store(0)
		case !isNothing(err):
			h.silent.CompareAndSwap(0, int64(time.Since(h.born)))
			h.why.Store(&err)
		}
		return struct{}{}, err
	})
	return err
}

// isNothing tells whether an error says nothing about the server.
func isNothing(err error) bool { return errors.Is(err, errBusy) || errors.Is(err, context.Canceled) }

// silence returns for how long look-ups are in vain.
func (h *health) silence() time.Duration {
	since := h.silent.Load()
	if since == 0 {
		return 0
	}
	return time.Since(h.born) - time.Duration(since)
}

// fail reports that the server is away, for certain.
func (h *health) fail(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	h.mu.Lock()
	h.slow = false
	h.mu.Unlock()
	_ = h.ask(func() error {
		h.certain.Store(true)
		return err
	})
}

// err returns why the server is not asked, nil if it is.
func (h *health) err() error {
	o := h.outage.Load()
	if o == nil {
		return nil
	}
	return fmt.Errorf("%w since %s: %w", errAway, o.since.Format(time.TimeOnly), o.why)
}

// isGone tells whether those need not ask the server either who have time: it is away, and that
// is not only because look-ups have not been answered in time.
func (h *health) isGone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.back != nil && !h.slow
}

// wait waits until the server is there for those who have time, and tells whether it was before
// ctx ended.
func (h *health) wait(ctx context.Context) bool {
	h.mu.Lock()
	back, slow := h.back, h.slow
	h.mu.Unlock()
	if back == nil || slow {
		return ctx.Err() == nil
	}
	select {
	case <-back:
		return true
	case <-ctx.Done():
		return false
	}
}

// changed is called with the breaker's lock held, for which every look-up waits: the log
// is told elsewhere, since who reads it may be slow.
func (h *health) changed(_ string, from, to gobreaker.State) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case to == gobreaker.StateClosed:
		h.silent.Store(0)
		h.outage.Store(nil)
		close(h.back)
		h.back = nil
	case from == gobreaker.StateClosed:
		why := *h.why.Load()
		h.outage.Store(&outage{since: time.Now(), why: why})
		h.back, h.slow = make(chan struct{}), !h.sure && (errors.Is(why, errLate) || isTimeout(why))
		select {
		case h.gone <- struct{}{}:
		default:
		}
	}
}

// keepTrying tries the server whenever it is away, until it is back, and tells the log.
func (h *health) keepTrying() {
	pace := backoff.NewExponentialBackOff()
	pace.InitialInterval, pace.MaxInterval = firstTry, lastTry
	var back time.Time
	for {
		select {
		case <-h.gone:
		case <-h.ctx.Done():
			return
		}
		first := h.outage.Load()
		if first == nil {
			continue // it is back already
		}
		h.log.Warn("shared memory is away: this front end goes on alone, and tries again", "why", first.why.Error())
		if time.Since(back) > steady {
			pace.Reset()
		}
		for o := first; o != nil; o = h.outage.Load() {
			timer := time.NewTimer(pace.NextBackOff())
			select {
			case <-timer.C:
			case <-h.ctx.Done():
				timer.Stop()
				return
			}
			_, err := h.breaker.Execute(func() (struct{}, error) { return struct{}{}, h.try(h.ctx) })
			if err != nil && h.ctx.Err() == nil {
				h.outage.CompareAndSwap(o, &outage{o.since, err})
			}
		}
		back = time.Now()
		h.log.Info("shared memory is back", "away_for", back.Sub(first.since).Round(time.Millisecond).String())
	}
}

// close ends the trying.
func (h *health) close() {
	h.stop()
	h.trying.Wait()
}
