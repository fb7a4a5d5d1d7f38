package world

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"postwhere/policy"
)

// mxTime bounds an MX look-up: without a name server in reach it fails, and not
// some time.
const mxTime = 10 * time.Second

// errNoMX: a domain without hosts of its own.
var errNoMX = errors.New("no MX host")

// mxResolver is what of a net.Resolver is needed.
type mxResolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// mxHosts returns the MX hosts of a domain in order of preference, those of one
// preference by name so that the order is the same each time, without this
// machine's own names. None at all is an error: nobody must conclude from an
// empty list that nobody has a mailbox.
func mxHosts(ctx context.Context, r mxResolver, domain string, own []string) ([]string, error) {
	records, err := r.LookupMX(ctx, domain)
	if err != nil {
		return nil, fmt.Errorf("the MX hosts of %s cannot be looked up: %w", domain, err)
	}
	slices.SortFunc(records, func(a, b *net.MX) int {
		if a.Pref != b.Pref {
			return int(a.Pref) - int(b.Pref)
		}
		return strings.Compare(strings.ToLower(a.Host), strings.ToLower(b.Host))
	})
	var names []string
	for _, mx := range records {
		name := strings.ToLower(strings.TrimSuffix(mx.Host, "."))
		if name == "" || slices.Contains(names, name) { // "." is a null MX (RFC 7505)
			continue
		}
		if !slices.ContainsFunc(own, func(o string) bool { return strings.EqualFold(strings.TrimSuffix(o, "."), name) }) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%w for %s but this machine: name the hosts in [[domain]] hosts", errNoMX, domain)
	}
	return names, nil
}

// ResolveMX looks up, once, the hosts of the domain of that name, if it is one of
// ours and has them by MX. It is for a world that was not started, and is not
// called concurrently.
func (w *World) ResolveMX(ctx context.Context, name string) error {
	for i, d := range w.Domains {
		if len(w.Config.Domain[i].Hosts) == 0 && slices.Contains(d.Names, name) && !w.resolved[d] {
			w.resolved[d] = true
			return w.adoptMX(ctx, d)
		}
	}
	return nil
}

// followMX keeps the domain's hosts what its MX records say.
func (w *World) followMX(ctx context.Context, d *policy.Domain) {
	tick := time.NewTicker(time.Duration(w.Config.MX.Refresh))
	defer tick.Stop()
	for {
		before := d.Hosts()
		err := w.adoptMX(ctx, d)
		if hosts := d.Hosts(); !slices.Equal(hosts, before) {
			w.calibrate(ctx, d, hosts)
		}
		if err != nil && ctx.Err() == nil {
			w.log.Warn("MX cannot be looked up, the domain's hosts stay what they are", "domain", d.Names[0], "hosts", len(d.Hosts()), "why", err.Error())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// adoptMX looks the domain's MX hosts up, and takes them if they have changed.
func (w *World) adoptMX(ctx context.Context, d *policy.Domain) error {
	ctx, cancel := context.WithTimeout(ctx, mxTime)
	defer cancel()
	names, err := mxHosts(ctx, w.resolver, d.Names[0], w.Config.MX.OwnNames)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.dropUnused()
	hosts, err := w.hostsOf(names)
	if err != nil {
		return err
	}
	if !slices.Equal(hosts, d.Hosts()) {
		w.log.Info("hosts by MX", "domain", d.Names[0], "hosts", names)
		d.SetHosts(hosts)
		w.nudge()
		if last := lastResorts(d); len(last) > 1 || len(hosts) == 1 && len(last) > 0 {
			w.log.Warn("last_resort is for one host of several: it counts only while every other host says no", "domain", d.Names[0], "last_resort", last)
		}
	}
	return nil
}

// dropUnused lets go of hosts that no domain has any more. A question that comes
// too late for that is unsure. mu is locked.
func (w *World) dropUnused() {
	for name, h := range w.hosts {
		if !slices.ContainsFunc(w.Domains, func(d *policy.Domain) bool { return slices.Contains(d.Hosts(), h) }) {
			delete(w.hosts, name)
			delete(w.addresses, name)
			w.helpers.Go(ProberOf(h).Close)
		}
	}
}
