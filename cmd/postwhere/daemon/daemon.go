// Package daemon is what `postwhere serve` runs: the doors at which Postfix asks, the world
// of the day behind them, and the memory, which outlives worlds, is kept over a restart
// and shared with other front ends.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postwhere/cache"
	"postwhere/cache/disk"
	"postwhere/cache/shared"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
)

// DrainTime bounds how long what is under way may take when the daemon ends.
const DrainTime = 25 * time.Second

// Daemon is the running program: one world at a time, the memory, which outlives
// worlds, and the listeners, of which those that a reload does not change live on.
// Adopt, Shutdown and AddressOf are for one goroutine, the other methods for any.
type Daemon struct {
	observe world.Observer
	log     *slog.Logger
	memory  *cache.Cache
	bound   *config.Config // what memory was made for
	tiers   *tiers         // memory, and what is shared of it
	doors   map[doorKey]*door
	leaving sync.WaitGroup // worlds and listeners that end, and listeners that serve
	ctx     context.Context
	cutOff  context.CancelFunc // ends ctx, and what is leaving with it
	drained world.DrainedHosts
	doubts  policy.Doubts // of all worlds
	kept    kept

	inherited inherited // the sockets that systemd has handed over

	sharedBy shared.Config // what tiers are made by

	reloads chan chan<- error // reloads that somebody waits for
	ending  chan struct{}     // closed when there will be none any more

	mu       sync.RWMutex
	world    *world.World
	keeper   *disk.Keeper // of memory over a restart; nil: there is none
	standing control.Standing
}

// New returns a daemon that has no configuration yet. What it decides and what
// befalls it goes to a log; each of observers is told first of what became of a request.
func New(m *maillog.Log, observers ...world.Observer) *Daemon {
	d := &Daemon{
		log: m.Program(), doors: make(map[doorKey]*door),
		reloads: make(chan chan<- error), ending: make(chan struct{}),
	}
	d.observe = func(r policy.Request, f policy.Finding, err error, took time.Duration) {
		for _, tell := range observers {
			tell(r, f, err, took)
		}
		m.Decision(r, f, err, took)
	}
	d.ctx, d.cutOff = context.WithCancel(context.Background())
	return d
}

// Search answers the faces from the world of the day. A recipient that was
// refused while the day changed is looked for once more: it may have got a host.
func (d *Daemon) Search(ctx context.Context, r policy.Request) (policy.Finding, error) {
	for {
		w := d.enter()
		f, err := d.searchIn(ctx, w, r)
		w.Leave()
		if f.Verdict != policy.Reject || d.is(w) {
			return f, err
		}
	}
}

// enter returns the world of the day, which stays until it is left.
func (d *Daemon) enter() *world.World {
	d.mu.RLock()
	defer d.mu.RUnlock()
	d.world.Enter()
	return d.world
}

// is tells whether w is the world of the day.
func (d *Daemon) is(w *world.World) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.world == w
}

func (d *Daemon) searchIn(ctx context.Context, w *world.World, r policy.Request) (policy.Finding, error) {
	if r.Wait > 0 { // a table's; its door may be older than the world
		r.Wait = time.Duration(w.Config.Search.MapWait)
	}
	return w.Searcher.Search(ctx, r)
}

// Ours tells whether name is a name of one of the domains.
func (d *Daemon) Ours(name string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.world.Searcher.Ours(name)
}

// Memory returns what the daemon remembers. It is nil as long as there is no
// configuration.
func (d *Daemon) Memory() *cache.Cache { return d.memory }

// traceHeader returns the name of the header that the milter adds.
func (d *Daemon) traceHeader() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.world.Config.Milter.TraceHeader
}

// provisioningToken returns what a provisioning system must know, "" if nothing.
func (d *Daemon) provisioningToken() string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.world.Config.Provisioning.Token()
}

// Adopt makes cfg what the daemon runs by: first everything that can fail, then
// the change. On an error everything is as it was.
func (d *Daemon) Adopt(cfg *config.Config) (err error) {
	before := world.Past{Doubts: &d.doubts, Drained: &d.drained}
	if d.world == nil {
		if d.memory, err = cache.New(cfg.MemoryOptions()); err != nil {
			return err
		}
		d.tiers = &tiers{Cache: d.memory}
		d.bound, before.Hosts = cfg, notesOfHosts(d.remember(cfg))
		defer func() {
			if err != nil {
				d.forgo()
			}
		}()
	} else {
		before.Hosts = d.world.HostNotes()
	}
	w, err := world.New(context.Background(), cfg, d.tiers, before, d.observe, d.log)
	if err != nil {
		return err
	}
	opened, err := d.openDoors(cfg)
	if err != nil {
		w.CloseProbers()
		return err
	}
	// A host of the same name may be another machine now: its no is not ours,
	// neither one that is remembered nor one that is under way.
	old := d.world
	if old != nil {
		old.TakeBackMemory()
		d.tellWhatWaits(old.Config, cfg)
	}
	d.memory.ForgetStrangers()
	d.adjustMemory(cfg)
	d.distrust(old, w)
	d.mu.Lock()
	d.world = w
	d.mu.Unlock()
	d.share(cfg)
	if d.keeper != nil {
		d.keeper.TakeNotes(d.notes)
	}
	w.Start()
	d.switchDoors(cfg, opened)
	if old != nil {
		d.leaving.Go(func() {
			ctx, cancel := context.WithTimeout(d.ctx, DrainTime)
			defer cancel()
			old.Close(ctx)
		})
	}
	return nil
}

// tellWhatWaits says what of a changed configuration is not as one might think.
func (d *Daemon) tellWhatWaits(old, now *config.Config) {
	if old.Limits != now.Limits {
		d.log.Warn("[limits] has changed: listeners that are open keep the old ones until the daemon starts again")
	}
}

// Shutdown drains: no new connections, the requests under way are answered, the
// hosts are taken leave of. It returns when all is done, or soon after ctx ends.
func (d *Daemon) Shutdown(ctx context.Context) error {
	defer context.AfterFunc(ctx, d.cutOff)()
	var mu sync.Mutex
	var failed []error
	var draining sync.WaitGroup
	for _, door := range d.doors {
		draining.Go(func() {
			if err := door.shutdown(ctx); err != nil {
				mu.Lock()
				failed = append(failed, fmt.Errorf("%s: %w", door.key, err))
				mu.Unlock()
			}
		})
	}
	draining.Wait()
	d.doors = nil
	if d.world != nil {
		d.world.Close(ctx)
	}
	d.leaving.Wait()
	if d.tiers != nil {
		d.tiers.link.Load().Close() // before the file is: its last note is how far that was
	}
	d.forgo()
	d.inherited.close()
	d.cutOff()
	return errors.Join(failed...)
}
