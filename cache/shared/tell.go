package shared

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

const (
	// batchSize is how many records are stored at once: the server serves nobody else
	// meanwhile, for about a millisecond.
	batchSize = 200
	// fullRest is how long a server that takes nothing is left alone.
	fullRest = 5 * time.Second
)

var (
	// errBehind: a purge is yet to be heard of, before all owners may be stored.
	errBehind = errors.New("not all purges are known yet")
	// errClockSet: the server's clock is not what it was taken for.
	errClockSet = errors.New("its clock was set")
)

// isPassing tells whether an error is over when it is tried again.
func isPassing(err error) bool { return errors.Is(err, errBehind) || errors.Is(err, errClockSet) }

// tell tells the others what is pending, until nothing comes any more.
func (l *Link) tell() {
	for last := false; ; {
		if !l.health.wait(l.ctx) {
			return
		}
		more, err := l.tellSome()
		l.took(err)
		switch {
		case l.ctx.Err() != nil, last && (err != nil && !isPassing(err) || !more):
			return
		case err == nil && !more:
		case isRefusal(err):
			l.pauseUnlessEnded(fullRest)
			continue
		default:
			continue
		}
		select {
		case <-l.pending.wake:
		case <-l.pending.ended:
			last = true
		case <-l.ctx.Done():
			return
		}
	}
}

// pauseUnlessEnded lets time pass, as long as changes may come.
func (l *Link) pauseUnlessEnded(d time.Duration) {
	ctx, cancel := context.WithCancel(l.ctx)
	defer cancel()
	go func() {
		select {
		case <-l.pending.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	pause(ctx, d)
}

// took notes whether the server takes what it is told, and says so if that is new.
func (l *Link) took(err error) {
	if isPassing(err) {
		return
	}
	if err != nil && !isRefusal(err) {
		l.health.fail(err)
		return
	}
	l.mu.Lock()
	was := l.full
	l.full = err
	l.mu.Unlock()
	switch {
	case err != nil && was == nil:
		l.log.Warn("shared memory takes nothing: other front ends do not learn what this one does", "why", err.Error())
	case err == nil && was != nil:
		l.log.Info("shared memory takes what it is told again")
	}
}

// isRefusal tells whether an error is that of a server that does not take what it is
// told, and could be read from: it is full, say, or a replica.
func isRefusal(err error) bool {
	if !isReply(err) {
		return false
	}
	word, _, _ := strings.Cut(err.Error(), " ")
	return !slices.Contains([]string{"NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN"}, word)
}

// tellSome tells some of what is pending; more: there may be more of it. After each purge it
// tells of owners and denials, too: there may be purges all the time.
func (l *Link) tellSome() (more bool, err error) {
	if p, ok := l.pending.firstPurge(); ok {
		if !p.told {
			if err := l.tellPurge(p.Purge); err != nil {
				return true, err
			}
			if !l.pending.purgeTold() {
				return true, nil
			}
		}
		if err := l.removePurged(p.Purge); err != nil {
			return true, err
		}
		l.pending.purged()
		more = true
	}
	b := l.pending.take(batchSize)
	if b.len() == 0 {
		if more {
			return more, nil
		}
		return l.tellLost()
	}
	err = l.store(b)
	l.pending.settle(b, err)
	return true, err
}

// tellLost tells of the owners that memory has learnt since too many were pending.
func (l *Link) tellLost() (more bool, err error) {
	since := l.pending.takeLost()
	if since.IsZero() {
		return false, nil
	}
	var b batch
	for e := range l.cfg.Cache.Owners() {
		if e.Owner.At.Before(since.Round(0)) {
			continue
		}
		if b.owned = append(b.owned, e.Name); b.len() < batchSize {
			continue
		}
		if err = l.storeUntilHeard(b); err != nil {
			break
		}
		b.owned = b.owned[:0]
	}
	if err == nil {
		err = l.storeUntilHeard(b)
	}
	if err != nil {
		l.pending.giveBackLost(since)
	}
	return err == nil, err
}

// storeUntilHeard stores a batch, and waits for what is to be heard before.
func (l *Link) storeUntilHeard(b batch) (err error) {
	for err = l.store(b); isPassing(err); err = l.store(b) {
	}
	return err
}

// store stores what memory knows of a batch, and that some of it was denied.
func (l *Link) store(b batch) error {
	l.mu.Lock()
	position, moved := l.position.Purges, l.moved
	l.mu.Unlock()
	read, err := l.clock()
	if err != nil {
		return err
	}
	keys := []string{l.purgeStream(), l.denialStream()}
	now := time.Now()
	args := []any{
		position, version, l.cfg.Expire.Milliseconds(), streamLength,
		read.server.Add(now.Sub(read.got)).UnixMicro(), patience.Microseconds(),
	}
	add := func(n cache.Name, r record, life time.Duration, denied string) {
		if len(r.String()) <= maxRecord && life > 0 {
			keys = append(keys, l.key(n))
			args = append(args, r.at.UnixMicro(), max(life.Milliseconds(), 1), r.object(), denied)
		}
	}
	for n, at := range b.denied {
		there := read.lastThere(at, now)
		add(n, record{at: there, gone: true}, policy.DoubtTime-read.server.Sub(there), n.Local+"@"+n.Domain)
	}
	for _, n := range b.owned {
		if e, endpoint, ok := l.owner(n); ok {
			there := read.there(e.Owner.At, now)
			add(n, record{at: there, owner: e.Owner, endpoint: endpoint}, l.cfg.Cache.Expire(n.Domain)-read.server.Sub(there), "")
		}
	}
	if len(keys) == 2 {
		return nil
	}
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	heard, err := storeScript.Run(ctx, l.patient, keys, args...).Int()
	if err == nil && heard < 0 {
		l.forgetClock()
		return errClockSet
	}
	if err == nil && heard == 0 {
		l.readNow()
		select {
		case <-moved:
		case <-ctx.Done():
		}
		return errBehind
	}
	return err
}

// owner returns an owner that memory knows, and how his host is reached; false: there is
// none, or he was found when it was another machine.
func (l *Link) owner(n cache.Name) (e cache.Entry, endpoint string, ok bool) {
	e, ok = l.cfg.Cache.Look(n)
	for ok {
		endpoint = l.endpoint(e.Owner.Host)
		// The cache distrusts a host before it has another endpoint.
		if e, ok = l.cfg.Cache.Look(n); ok && l.endpoint(e.Owner.Host) == endpoint {
			return e, endpoint, !l.cfg.Cache.Distrusts(e.Owner)
		}
	}
	return e, "", false
}
