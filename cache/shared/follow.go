package shared

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postwhere/cache"
)

const (
	// pollEvery is how often the streams are read. XREAD could wait for them to grow, but not
	// without fetching what somebody has put there, which may be larger than memory.
	pollEvery = 200 * time.Millisecond
	// maxRead is how many octets of a stream are read at once; an entry that has more has
	// none of our words.
	maxRead = 64 << 10
	// maxVain is how often in a row the streams are read in vain of a server that answers
	// look-ups, before what is there is passed over.
	maxVain = 3
)

// follow reads the streams, until ctx ends.
func (l *Link) follow() {
	vain := 0
	for l.health.wait(l.ctx) {
		l.wantMark()
		var more bool
		var err error
		if vain >= maxVain {
			err = l.passOver()
		}
		for err == nil {
			if more, err = l.readOn(); err == nil && !more {
				vain = 0
				l.rest()
			}
		}
		l.isNew.Store(true) // meanwhile it may have become so, over the same connection
		if vain++; !isTimeout(err) {
			vain = 0
		}
		l.health.fail(l.cfg.Server.explain(err))
		if l.ctx.Err() == nil && l.health.outage.Load() == nil {
			pause(l.ctx, firstTry) // another has found it back already
		}
	}
}

// isTimeout tells whether an error is that there was no answer in time.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// passOver has the streams read from now on: what is there takes the server too long to read,
// and all counts as purged. The next mark is an entry that is added for that: the clock may be set
// back, and what is purged then has a lower number than now.
func (l *Link) passOver() error {
	l.whence() // what comes with a past from now on is not passed over
	l.forgetClock()
	read, err := l.clock()
	if err != nil {
		return err
	}
	now := numberAt(read.server)
	to := Position{now, now}
	mark, err := l.tellNothing()
	if err == nil {
		to.Purges = mark
	} else if !isRefusal(err) {
		return err
	}
	l.log.Warn("what was purged cannot be read in time: all is forgotten")
	l.cfg.Cache.Purge(cache.Purge{All: true}) // first: what is known at a position is from behind its purges
	l.move(to, mark)
	return nil
}

// rest lets time pass until the streams are to be read again.
func (l *Link) rest() {
	timer := time.NewTimer(pollEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.hurry:
	case <-l.ctx.Done():
	}
}

// readNow has the streams read soon: there is something in them.
func (l *Link) readNow() {
	select {
	case l.hurry <- struct{}{}:
	default:
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

// readOn reads the streams behind the position, and does what they say. It returns whether
// there may be more to read.
func (l *Link) readOn() (more bool, err error) {
	from, mark := l.whence()
	s, err := l.readStreams(l.ctx, from, mark, batchSize)
	if err != nil {
		return false, err
	}
	if l.isNew.Swap(false) && l.isAnother() {
		// Its copy may lack a purge that nobody tells again: the front end has ended.
		l.log.Warn("server is another or has begun again: strangers are forgotten")
		l.cfg.Cache.Purge(cache.Purge{Strangers: true})
	}
	if s.lost {
		l.beginAnew(from, s)
		return true, nil
	}
	to := from
	heard := make(map[cache.Purge]bool)
	for _, e := range s.purges {
		if p, other := l.purgeOf(e.Values); other && !heard[p] {
			heard[p] = true
			l.purge(p)
		}
		if to.Purges = e.ID; len(e.Values) > 0 { // another is looked for too often
			mark = e.ID
		}
	}
	wasSet := !l.polled.got.IsZero() && l.polled.wasSet(s.read)
	l.polled = s.read
	for _, e := range s.denials {
		l.hearDenial(e.Values, s.read, wasSet)
		to.Denials = e.ID
	}
	l.move(to, mark)
	return to != from, nil
}

// hasBegun tells whether the front end has begun a moment ago, and reads for the first time.
func (l *Link) hasBegun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.isFirst && l.polled.got.IsZero() && time.Since(l.read) < lastTry
}

// serverRun is what INFO says of which run of which server it is, and which copy it has: the
// second changes when it becomes another's replica.
var serverRun = regexp.MustCompile(`(?m)^(run_id|master_replid):\w+`)

// isAnother tells whether the server, its run or its copy may be another than the last.
func (l *Link) isAnother() bool {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	info, _ := l.reader.Info(ctx).Result() // where that is not allowed nobody knows
	run := strings.Join(serverRun.FindAllString(info, -1), " ")
	begins := l.hasBegun()
	l.mu.Lock()
	defer l.mu.Unlock()
	same := run != "" && run == l.run
	l.run = run
	return !same && !begins
}

// beginAnew is for a stream of purges that has lost what was read last: the server was
// flushed, or began empty or with an old copy, or more was purged than it keeps. Purges of
// others may have been lost before they were read: then a no may be from before one, and
// none counts. Those of this front end's are told again: another may have been away.
func (l *Link) beginAnew(from Position, s streams) {
	l.mu.Lock()
	last := l.read
	l.mu.Unlock()
	switch {
	case s.length >= streamLength && isBefore(from.Purges, s.first):
		l.log.Warn("more was purged than this front end can learn of: all is forgotten")
		l.cfg.Cache.Purge(cache.Purge{All: true})
	case l.hasBegun(): // it remembers nothing from before
		l.pending.tellAgain()
	default:
		l.log.Warn("what was purged may be lost: strangers are forgotten")
		l.cfg.Cache.Purge(cache.Purge{Strangers: true})
		l.pending.tellAgain()
	}
	// What is not read yet came after before, or is yet to come, with a higher number
	// than the last.
	before := numberAt(s.read.there(last, time.Now()).Add(-since))
	to := from
	if isBefore(s.lastPurge, to.Purges) {
		to.Purges = earlier(s.lastPurge, before)
	}
	if isBefore(s.lastDenial, to.Denials) {
		to.Denials = earlier(s.lastDenial, before)
	}
	l.move(to, s.mark)
}

// purgeOf returns what another front end was told to forget; false: it was this one, or there
// is nothing to forget. What it does not understand it takes for the purge of all.
func (l *Link) purgeOf(entry map[string]any) (p cache.Purge, other bool) {
	word := func(name string) string { return fmt.Sprint(entry[name]) }
	switch {
	case word("by") == l.id:
		return p, false
	case word("v") != version:
		return cache.Purge{All: true}, true
	}
	return parsePurge(word("kind"), word("what")), word("kind") != kindNothing
}

// purge does what another front end was told to.
func (l *Link) purge(p cache.Purge) {
	owners, strangers := l.cfg.Cache.Purge(p)
	kind, what := wordsOf(p)
	l.log.Info("memory is flushed at another front end", "what", kind+"="+what, "owners", owners, "strangers", strangers)
}

// hearDenial forgets an owner who has denied a mailbox to another front end. If the clock was
// set since the streams were last read nobody knows when that was: it is taken for news.
func (l *Link) hearDenial(entry map[string]any, read reading, wasSet bool) {
	word := func(name string) string { return fmt.Sprint(entry[name]) }
	n, ok := parseName(word("address"))
	at, err := strconv.ParseInt(word("at"), 10, 64)
	if !ok || err != nil || word("v") != version {
		return
	}
	_, since := read.here(time.UnixMicro(at))
	if now := time.Now(); wasSet || since.After(now) {
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
	kindNothing   = "nothing" // an entry that is there to be seen
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
