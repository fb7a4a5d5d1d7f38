package shared

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/policy"
)

// Own notes that the cache has learnt who owns a mailbox. The others are told behind.
func (l *Link) Own(a policy.Address) {
	if l != nil {
		l.pending.own(nameOf(a))
	}
}

// Deny is policy.Shared's.
func (l *Link) Deny(a policy.Address, at time.Time) {
	if l != nil {
		l.pending.deny(nameOf(a), at)
	}
}

// Consult is policy.Shared's: it has the cache adopt the owner that the server knows.
func (l *Link) Consult(ctx context.Context, a policy.Address, accept func(yes policy.Answer) bool) (denied time.Time) {
	if l == nil || l.health.outage.Load() != nil || l.pending.isPurging() {
		return time.Time{} // what is to be purged may be there yet
	}
	n := nameOf(a)
	pending := l.pending.deniedAt(n) // now: when the server answers it may know of it, and not have then
	t, err := l.get(ctx, l.key(n))
	r, ok := parseRecord(t.text)
	if err != nil || !ok {
		return time.Time{}
	}
	first, last := t.read.here(r.at)
	r.owner.At = first.Round(0)
	switch {
	case r.gone:
		return last
	case r.endpoint != l.endpoint(r.owner.Host):
		return last // it was a mailbox of another machine's by that name, and may have moved
	case r.owner.At.After(pending) && r.owner.At.After(l.pending.deniedAt(n)) && accept(r.owner):
		l.cfg.Cache.Adopt(cache.Entry{Name: n, Owner: r.owner})
	}
	return time.Time{}
}

// endpoint returns how a host is reached here.
func (l *Link) endpoint(host string) string {
	if l.cfg.Endpoint == nil {
		return ""
	}
	return l.cfg.Endpoint(host)
}

// isReply tells whether an error is the server's own word.
func isReply(err error) bool { return errors.As(err, new(redis.Error)) }

// tries is how often try tries to be answered in time.
const tries = 3

// try finds out whether the server does what it has to, and for a look-up in time.
func (l *Link) try(ctx context.Context) error {
	if _, err := l.measure(ctx); err != nil {
		return err
	}
	return l.checkRights(ctx, l.reads()) // of which measure needs not all
}

// measure is try, and returns how long an answer takes.
func (l *Link) measure(ctx context.Context) (took time.Duration, err error) {
	if _, err := l.readStreams(ctx, l.Position(), "", 0); err != nil {
		return 0, l.cfg.Server.explain(err)
	}
	// To open a connection may take longer than an answer, with TLS above all.
	open, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_ = l.quick.Ping(open).Err() // what is wrong the next one says
	for range tries {
		begun := time.Now()
		if _, err = l.fetch(ctx, []question{{key: l.key(cache.Name{})}}); err == nil {
			return time.Since(begun), nil
		}
	}
	return 0, err
}
