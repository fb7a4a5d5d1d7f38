package shared

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
)

const (
	// followWait is how long a read waits for the streams to grow: a server that hangs is
	// noticed when it and patience are over.
	followWait = time.Second
	// maxEntries is how many entries are read at once.
	maxEntries = 1000
)

// follow reads the streams, until ctx ends.
func (l *Link) follow() {
	for l.health.wait(l.ctx) {
		err := l.catchUp()
		if err == nil {
			err = l.checkGap()
		}
		for err == nil {
			if l.wasSetBack() {
				err = l.checkGap()
			}
			if err == nil {
				err = l.readOn()
			}
		}
		l.health.fail(l.cfg.Server.explain(err))
		if l.ctx.Err() == nil && l.health.outage.Load() == nil {
			pause(l.ctx, firstTry) // another has found it back already
		}
	}
}

// pause lets time pass, but no longer than ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// catchUp makes the position one in the streams as they are now. If the purges that were
// read last are not there any more, those of this front end's are told again: another may
// have been away then.
func (l *Link) catchUp() error {
	from := l.Position()
	p, err := l.positionThere(l.ctx, from)
	if err != nil {
		return err
	}
	if isBefore(p.Purges, from.Purges) {
		l.mu.Lock()
		last := l.read
		l.mu.Unlock()
		l.pending.tellAgain(last.Add(-since))
	}
	l.move(from, p)
	return nil
}

// positionThere returns a position as one in the streams as they are now. They may be
// others than they were: the server began empty, or with an old copy.
func (l *Link) positionThere(ctx context.Context, p Position) (Position, error) {
	purges, err := l.info(ctx, l.purgeStream())
	if err != nil {
		return p, err
	}
	denials, err := l.info(ctx, l.denialStream())
	if err != nil {
		return p, err
	}
	l.mu.Lock()
	before := numberAt(l.read.Add(-since))
	l.mu.Unlock()
	// What is not read yet came after before, or is yet to come, with a higher number
	// than the last.
	if last := purges.LastGeneratedID; isBefore(last, p.Purges) {
		p.Purges = earlier(last, before)
	}
	if last := denials.LastGeneratedID; isBefore(last, p.Denials) {
		p.Denials = earlier(last, before)
	}
	return p, nil
}

// checkGap forgets all if the stream of purges no longer has what comes behind the
// position.
func (l *Link) checkGap() error {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	first, err := l.patient.XRangeN(ctx, l.purgeStream(), "-", "+", 1).Result()
	if err != nil || len(first) == 0 || !isBefore(l.Position().Purges, first[0].ID) {
		return err
	}
	length, err := l.patient.XLen(ctx, l.purgeStream()).Result()
	if err == nil && length >= streamLength {
		l.log.Warn("more was purged than this front end can learn of: all is forgotten")
		l.cfg.Cache.Purge(cache.Purge{All: true})
	}
	return err
}

// info returns what a stream is; one that is not there is empty.
func (l *Link) info(ctx context.Context, stream string) (redis.XInfoStream, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	info, err := l.patient.XInfoStream(ctx, stream).Result()
	switch {
	case err == nil:
		return *info, nil
	case isReply(err) && err.Error() == "ERR no such key":
		return redis.XInfoStream{LastGeneratedID: "0-0"}, nil
	}
	return redis.XInfoStream{}, err
}

// readOn waits for the streams to grow, some time, and does what they say.
func (l *Link) readOn() error {
	ctx, cancel := context.WithTimeout(l.ctx, followWait+patience)
	defer cancel()
	from := l.Position()
	p := from
	streams, err := l.patient.XRead(ctx, &redis.XReadArgs{
		Streams: []string{l.purgeStream(), l.denialStream(), p.Purges, p.Denials},
		Count:   maxEntries, Block: followWait,
	}).Result()
	if errors.Is(err, redis.Nil) {
		l.move(from, p)
		return nil
	}
	if err != nil {
		return err
	}
	read, err := l.clock()
	if err != nil {
		return err
	}
	for _, s := range streams {
		for _, e := range s.Messages {
			switch s.Stream {
			case l.purgeStream():
				l.hearPurge(e.Values)
				p.Purges = e.ID
			case l.denialStream():
				l.hearDenial(e.Values, read)
				p.Denials = e.ID
			}
		}
	}
	l.move(from, p)
	return nil
}

// hearPurge does what another front end was told to. Whatever it does not understand
// it takes for the purge of all.
func (l *Link) hearPurge(entry map[string]any) {
	word := func(name string) string { return fmt.Sprint(entry[name]) }
	if word("by") == l.id {
		return
	}
	p := cache.Purge{All: true}
	if word("v") == version {
		p = parsePurge(word("kind"), word("what"))
	}
	owners, strangers := l.cfg.Cache.Purge(p)
	kind, what := wordsOf(p)
	l.log.Info("memory is flushed at another front end", "what", kind+"="+what, "owners", owners, "strangers", strangers)
}

// hearDenial forgets an owner who has denied a mailbox to another front end.
func (l *Link) hearDenial(entry map[string]any, read reading) {
	word := func(name string) string { return fmt.Sprint(entry[name]) }
	n, ok := parseName(word("address"))
	at, err := strconv.ParseInt(word("at"), 10, 64)
	if !ok || err != nil || word("v") != version {
		return
	}
	_, since := read.here(time.UnixMicro(at))
	if now := time.Now(); since.After(now) {
		since = now
	}
	if l.cfg.Denied != nil {
		l.cfg.Denied(n, since) // first: there is no moment without owner and doubt
	}
	l.cfg.Cache.Abandon(n, since)
}

// The kinds of purges, as they are told.
const (
	kindAddress   = "address"
	kindDomain    = "domain"
	kindHost      = "host"
	kindStrangers = "strangers"
	kindAll       = "all"
)

// wordsOf returns a purge in two words.
func wordsOf(p cache.Purge) (kind, what string) {
	switch {
	case p.Name != (cache.Name{}):
		return kindAddress, p.Name.Local + "@" + p.Name.Domain
	case p.Domain != "":
		return kindDomain, p.Domain
	case p.Host != "":
		return kindHost, p.Host
	case p.Strangers:
		return kindStrangers, ""
	}
	return kindAll, ""
}

// parsePurge reads the two words; what is none of ours is the purge of all.
func parsePurge(kind, what string) cache.Purge {
	n, isName := parseName(what)
	switch {
	case len(what) > maxRecord:
	case kind == kindAddress && isName:
		return cache.Purge{Name: n}
	case kind == kindDomain && what != "":
		return cache.Purge{Domain: what}
	case kind == kindHost && what != "":
		return cache.Purge{Host: what}
	case kind == kindStrangers:
		return cache.Purge{Strangers: true}
	}
	return cache.Purge{All: true}
}
