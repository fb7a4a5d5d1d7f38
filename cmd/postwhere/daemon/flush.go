package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"postwhere/cache"
	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
)

// Flush forgets what a query names: any number of addresses, or one of domain,
// host, strangers and all. It forgets all of it, or nothing and returns an error that
// says what is wrong with the query.
func (d *Daemon) Flush(ctx context.Context, query url.Values) (f control.Flushed, err error) {
	purges, err := d.purgesOf(query)
	if err != nil {
		return f, err
	}
	toFile := false
	for _, p := range purges {
		owners, strangers := d.memory.Purge(p.Purge)
		d.log.Info("memory is flushed", "what", p.what, "owners", owners, "strangers", strangers)
		f.Owners += owners
		f.Strangers += strangers
		toFile = toFile || !p.Strangers
	}
	ctx, cancel := context.WithTimeout(ctx, control.SyncWait)
	defer cancel()
	telling, stop := context.WithTimeout(ctx, control.SyncWait/2) // a server that hangs leaves time for the file
	defer stop()
	d.tellOthers(telling, purges, &f)
	d.mu.RLock()
	keeper := d.keeper
	d.mu.RUnlock()
	if keeper != nil && toFile {
		if err := keeper.Sync(ctx); err != nil {
			f.Why = err.Error()
		}
	}
	return f, nil
}

// tellOthers has the other front ends forget, too, and notes whether they have.
func (d *Daemon) tellOthers(ctx context.Context, purges []namedPurge, f *control.Flushed) {
	link := d.tiers.link.Load()
	if link == nil {
		f.Others = control.OthersNone
		return
	}
	f.Others = control.OthersTold
	for _, p := range purges { // each of them, for what cannot be told now waits
		if err := link.Purge(ctx, p.Purge); err != nil {
			f.Others, f.SharedWhy = control.OthersLater, err.Error()
		}
	}
}

// namedPurge is a purge, and how it was asked for.
type namedPurge struct {
	cache.Purge
	what string // NAME=VALUE, escaped
}

// flushable is what there is to flush.
var flushable = []string{"address", "domain", "host", "strangers", "all"}

// errFlushWhat says what a flush wants to know.
var errFlushWhat = errors.New("want one of address, domain, host, strangers and all")

// purgesOf returns what a query says is to be forgotten.
func (d *Daemon) purgesOf(query url.Values) ([]namedPurge, error) {
	names := slices.Sorted(maps.Keys(query))
	for _, name := range names {
		if !slices.Contains(flushable, name) {
			return nil, fmt.Errorf("there is no %s: %w", maillog.Printable(name), errFlushWhat)
		}
	}
	switch {
	case len(names) == 0:
		return nil, errFlushWhat
	case len(names) > 1:
		return nil, fmt.Errorf("%w, and not %s", errFlushWhat, strings.Join(names, " and "))
	case len(query[names[0]]) > 1 && names[0] != "address":
		return nil, fmt.Errorf("%s: want it once", names[0])
	}
	w := d.enter()
	defer w.Leave()
	var all []namedPurge
	for _, value := range query[names[0]] {
		p, err := purgeOf(w, names[0], value)
		if err != nil {
			return nil, err
		}
		all = append(all, namedPurge{p, url.Values{names[0]: {value}}.Encode()})
	}
	return all, nil
}

// purgeOf returns what is to be forgotten by a name that is flushable, and its value.
func purgeOf(w *world.World, name, value string) (p cache.Purge, err error) {
	switch name {
	case "strangers", "all":
		if !slices.Contains([]string{"", "1", "true"}, value) {
			return p, fmt.Errorf("%s: want no value, or true", name)
		}
		p.Strangers, p.All = name == "strangers", name == "all"
		return p, nil
	}
	if value == "" {
		return p, fmt.Errorf("%s: want to know which", name)
	}
	var a policy.Address
	switch name {
	case "address":
		a, err = w.Searcher.Asked(value)
		p.Name = cache.Name{Local: a.Local(), Domain: a.Domain()}
	case "domain":
		if a, err = w.Searcher.Asked("postmaster@" + value); err != nil {
			// It may have been one of ours.
			p.Domain, err = policy.NormalDomain(value)
			return p, err
		}
		p.Domain = a.Domain()
	case "host":
		p.Host = value
	}
	return p, err
}
