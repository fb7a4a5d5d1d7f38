package shared

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	text, err := l.health.ask(func() (string, error) { return l.get(ctx, l.key(n)) })
	r, ok := parseRecord(text)
	switch {
	case err != nil || !ok:
		return time.Time{}
	case r.gone:
		return r.at
	case r.owner.At.After(l.pending.deniedAt(n)) && accept(r.owner):
		l.cfg.Cache.Adopt(cache.Entry{Name: n, Owner: r.owner})
	}
	return time.Time{}
}

// get returns what is stored under a key, "" if nothing is, within what a look-up
// waits.
func (l *Link) get(ctx context.Context, key string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	text, err := l.quick.Get(ctx, key).Result()
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return text, nil
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, context.DeadlineExceeded):
		return "", errBusy // there was no connection in time; of a silent one the error is another
	case isReply(err) && strings.HasPrefix(err.Error(), "WRONGTYPE"):
		return "", nil // somebody else's, under a name of ours
	}
	return "", err
}

// isReply tells whether an error is the server's own word.
func isReply(err error) bool { return errors.As(err, new(redis.Error)) }

// tries is how often try tries to be answered in time.
const tries = 3

// try finds out whether the server does what it has to, and for a look-up in time.
func (l *Link) try(ctx context.Context) error {
	if _, err := l.positionThere(ctx); err != nil {
		return err
	}
	var err error
	for range tries { // the first opens a connection
		if _, err = l.get(ctx, l.key(cache.Name{})); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no answer within %v: %w", maxWait, err)
}
