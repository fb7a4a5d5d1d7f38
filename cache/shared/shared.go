// Package shared lets several front ends have one memory, in a Redis or Valkey
// server, behind the memory that each has in its own process.
//
// What one front end has found serves the others: a look-up that memory cannot
// answer reads the owner from the server before the hosts are asked. What is
// written there is written behind the look-up. The server may be slow, hung, gone,
// full or empty, or be no Redis at all: then each front end goes on alone. A look-up
// waits for it 5 ms at most, and not at all once it is known to be away.
//
// Nothing that can refuse a mailbox comes from the server. Strangers are not shared:
// a no of theirs would be worth a question to a host, until it is five minutes old,
// and could refuse a mailbox where two front ends mean two machines by the name of
// one host; and a dictionary attack would push the owners out of a server that is
// full. What is shared is a yes, which costs a question if it is wrong, and that a
// mailbox was denied, which keeps it from being refused for a while.
//
// Two front ends that look for one address at the same moment both ask the hosts.
// To have one of them wait would take a write before each question, and a wait for
// a stranger's end: for what is rarely asked at two front ends within the
// milliseconds that the hosts take to answer.
//
// In the server all keys begin with the prefix, and nothing else is touched:
//
//	address:ADDRESS  what is known of it (record), for as long as it lives
//	purges           a stream of what was purged, of late
//	denied           a stream of mailboxes that were denied, of late
//
// Front ends read the streams as they grow, and one that was away reads on where it
// was: so a purge reaches all. A server that begins again, or takes another's place, may
// have an older copy that lacks one: then no host's no from before counts. Nobody writes
// an owner who has not heard of all purges; the server sees to it (scripts).
package shared

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
)

// Config is what Start needs.
type Config struct {
	Server
	// Expire is how long it is known there what was purged, and denied: at least as long
	// as any owner lives. An owner lives there as long as in Cache.
	Expire time.Duration
	// Cache is the memory in front of it.
	Cache *cache.Cache
	// Endpoint returns how a host is reached, for all front ends in the same way, and
	// for another machine in another: an owner is believed only where his host is
	// reached as where he was found. It is called concurrently and must not wait; nil:
	// all hosts of one name are one machine.
	Endpoint func(host string) string
	// Denied, if set, is told of each mailbox that another front end's host has
	// denied, and since when. It must not wait for anything.
	Denied func(n cache.Name, since time.Time)
	// Past is what Link.Past was when the program ran last; the zero value begins now.
	Past Past
	// Before is the link that this one follows, which is yet to be closed, or is: the
	// others are told by this one of what waits there. Past does not count then.
	Before *Link
	Log    *slog.Logger
}

// Link is a front end's connection to the shared memory. Its methods may be called
// concurrently, and a nil Link is one to a memory that is never there.
type Link struct {
	cfg     Config
	log     *slog.Logger
	id      string        // of this front end, so that it knows its own purges
	quick   *redis.Client // for what a look-up waits for
	patient *redis.Client // for the rest
	reader  *redis.Client // for the streams
	isNew   atomic.Bool   // it may be another server that is read, or another copy there
	health  *health
	pending *pending
	isFirst bool // nothing is remembered from before it
	// questions are the look-ups that wait.
	questions chan question

	mu          sync.Mutex
	position    Position
	mark        string    // a purge's entry: while it is there nothing is lost that came behind; "" if none
	recalls     bool      // a past has come since the streams began to be read
	read        time.Time // when it was the last one
	clockRead   reading
	clockReadAt time.Time     // when the clock was read
	moved       chan struct{} // closed when position is another
	hurry       chan struct{} // has an element when the streams are to be read at once
	full        error         // why the server takes nothing, nil: it does
	run         string        // which run of which server was read last, "" if that is not known

	polled reading // when the streams were read last, for follow alone

	ctx  context.Context
	stop context.CancelFunc

	telling, following, asking sync.WaitGroup
}

// How long the server may take.
const (
	// maxWait bounds what a look-up waits for it: 5 ms, with what timers are late by on a
	// machine that has other work to do.
	maxWait = 2 * time.Millisecond
	// poolWait is less: who has waited so long for a connection has not found out
	// anything about the server.
	poolWait = 1500 * time.Microsecond
	// patience is for what nobody waits for.
	patience = time.Second
	// closeWait is how long Close goes on to tell what was learnt.
	closeWait = time.Second
)

// Start begins to share the owners of a cache, until Close. A server that cannot be
// reached is said to the log, and tried again: Start never fails, and does not wait.
func Start(cfg Config) *Link {
	l := newLink(cfg)
	l.health = newHealth(l.log, l.try)
	for range askers {
		l.asking.Go(l.ask)
	}
	l.following.Go(l.follow)
	l.telling.Go(l.tell)
	return l
}

// newLink returns a link that does nothing by itself.
func newLink(cfg Config) *Link {
	quick := cfg.Server.options(lateWait, poolWait)
	quick.MinIdleConns = askers
	reader := cfg.Server.options(patience, patience)
	l := &Link{
		cfg: cfg, log: cfg.Log.With("server", cfg.Server.String()), id: newID(),
		quick:     redis.NewClient(quick),
		patient:   redis.NewClient(cfg.Server.options(patience, patience)),
		pending:   newPending(),
		isFirst:   cfg.Before == nil,
		questions: make(chan question, askers*maxAsked),
		position:  cfg.Past.Position.orNow(),
		read:      time.Now(),
		moved:     make(chan struct{}),
		hurry:     make(chan struct{}, 1),
	}
	reader.OnConnect = func(context.Context, *redis.Conn) error {
		l.isNew.Store(true)
		return nil
	}
	l.reader = redis.NewClient(reader)
	l.ctx, l.stop = context.WithCancel(context.Background())
	if cfg.Before != nil {
		l.pending, l.position, l.run = cfg.Before.pending.handOn(), cfg.Before.Position(), cfg.Before.lastRun()
		l.cfg.Before = nil // nor those before it
	} else {
		l.putOff(cfg.Past.Untold)
	}
	l.mark = l.position.Purges
	return l
}

// Close tells the others what they are yet to be told, if that takes no more than a
// second, and ends the sharing. What is under way returns soon.
func (l *Link) Close() {
	if l == nil {
		return
	}
	end := time.AfterFunc(closeWait, l.stop)
	defer end.Stop()
	l.pending.close()
	if l.health.isGone() {
		l.stop()
	}
	l.telling.Wait()
	l.stop()
	l.health.close()
	l.hangUp()
	l.following.Wait()
	l.asking.Wait()
}

// hangUp ends the connections.
func (l *Link) hangUp() {
	l.stop()
	_ = l.quick.Close()
	_ = l.patient.Close()
	_ = l.reader.Close()
}

// State is how it goes with the sharing.
type State struct {
	Server  string // without the password
	Waiting int    // changes that the others are yet to be told of
	// Why is why the server is not asked, or takes nothing; nil: all is well.
	Why error
}

// State returns how it goes.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return State{Server: l.cfg.Server.String(), Waiting: l.pending.len(), Why: cmp.Or(l.health.err(), l.full)}
}

// errAway: the server is not asked.
var errAway = errors.New("is away")
