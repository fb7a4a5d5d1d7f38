package daemon

import (
	"context"
	"sync/atomic"
	"time"

	"postwhere/cache"
	"postwhere/cache/shared"
	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
)

// tiers is memory as the worlds have it: the cache of this process, and behind it
// what several front ends share, if they do.
type tiers struct {
	*cache.Cache
	link atomic.Pointer[shared.Link] // nil: nothing is shared
}

var (
	_ policy.Memory = (*tiers)(nil)
	_ policy.Shared = (*tiers)(nil)
)

// Own remembers an owner, here and in what is shared.
func (t *tiers) Own(a policy.Address, yes policy.Answer) {
	t.Cache.Own(a, yes)
	t.link.Load().Own(a)
}

// Consult is policy.Shared's.
func (t *tiers) Consult(ctx context.Context, a policy.Address, accept func(policy.Answer) bool) time.Time {
	return t.link.Load().Consult(ctx, a, accept)
}

// Deny is policy.Shared's.
func (t *tiers) Deny(a policy.Address, at time.Time) { t.link.Load().Deny(a, at) }

// noteShared is how far the streams of the shared memory were read, among the notes
// that are kept over a restart: what was purged meanwhile is purged at the start.
const noteShared = "shared"

// share has memory shared as cfg says, and goes on with it if nothing has changed. What
// the other front ends are yet to be told of is handed on, also over a time in which
// nothing is shared.
func (d *Daemon) share(cfg *config.Config) {
	d.kept.mu.Lock()
	defer d.kept.mu.Unlock()
	old := d.tiers.link.Load()
	server, expire := cfg.Cache.Shared.Server, cfg.LongestExpire()
	if server != d.sharedBy.Server || expire != d.sharedBy.Expire {
		d.sharedBy = shared.Config{Server: server, Expire: expire}
		var link *shared.Link
		if server.Address != "" {
			link = shared.Start(shared.Config{
				Server: server, Expire: expire, Cache: d.memory,
				Endpoint: d.endpointOf, Denied: d.denied, Past: d.kept.shared, Before: d.kept.before, Log: d.log,
			})
			d.kept.before = link
		}
		d.tiers.link.Store(link)
		d.leaving.Go(old.Close)
	}
}

// endpointOf is that of the world of the day.
func (d *Daemon) endpointOf(name string) string {
	d.mu.RLock()
	w := d.world
	d.mu.RUnlock()
	return w.EndpointOf(name)
}

// denied has a mailbox in doubt that another front end's host has denied.
func (d *Daemon) denied(n cache.Name, since time.Time) {
	d.mu.RLock()
	w := d.world
	d.mu.RUnlock()
	w.Searcher.Doubt(policy.AddressOf(n.Local, n.Domain), since)
}
