package world

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
	"postwhere/probe"
)

// addressResolver is what of a net.Resolver is needed.
type addressResolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// hostAddresses are the IP addresses that a host is asked at, so that its own
// questions are known for what they are: a host whose Postfix runs VRFY on behalf
// of a question of ours must not have us ask it in turn. Its methods may be called
// concurrently.
type hostAddresses struct {
	name  string // to look up; "": there is nothing to look up
	known atomic.Pointer[[]netip.Addr]
}

// newHostAddresses returns the addresses of the host that is asked at an endpoint:
// one, if the endpoint names it, else none until they are looked up.
func newHostAddresses(endpoint string) *hostAddresses {
	h := &hostAddresses{}
	name := hostIn(endpoint)
	if ip, err := netip.ParseAddr(name); err == nil {
		h.known.Store(&[]netip.Addr{plain(ip)})
	} else {
		h.name = name
	}
	return h
}

// has tells whether an address, as plain returns it, is known to be the host's.
func (h *hostAddresses) has(ip netip.Addr) bool {
	known := h.known.Load()
	return known != nil && slices.Contains(*known, ip)
}

// lookUp learns the host's addresses. What was known stands if it fails.
func (h *hostAddresses) lookUp(ctx context.Context, r addressResolver) {
	if h.name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mxTime)
	defer cancel()
	found, err := r.LookupNetIP(ctx, "ip", h.name)
	if err != nil || len(found) == 0 {
		return // calibration says that the host cannot be reached
	}
	known := make([]netip.Addr, len(found))
	for i, ip := range found {
		known[i] = plain(ip)
	}
	h.known.Store(&known)
}

// plain returns the one form of an address that it is compared in.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// followAddresses keeps the hosts' addresses what DNS says.
func (w *World) followAddresses(ctx context.Context) {
	tick := time.NewTicker(time.Duration(w.Config.MX.Refresh))
	defer tick.Stop()
	for {
		for _, h := range w.allAddresses() {
			// Each by itself: a name server that is silent about one must not
			// hold up the others.
			w.helpers.Go(func() { h.lookUp(ctx, w.addressResolver) })
		}
		select {
		case <-tick.C:
		case <-w.newHosts:
		case <-ctx.Done():
			return
		}
	}
}

// allAddresses returns those of all hosts that there are now.
func (w *World) allAddresses() []*hostAddresses {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*hostAddresses, 0, len(w.addresses))
	for _, h := range w.addresses {
		all = append(all, h)
	}
	return all
}

// nudge has the addresses of new hosts looked up without delay.
func (w *World) nudge() {
	select {
	case w.newHosts <- struct{}{}:
	default: // it is to be done already
	}
}

// namesIn returns what a host is called in its settings.
func namesIn(name string, h config.Host) []string {
	names := []string{name, hostIn(h.Probe), h.TLSName, h.AliasDomain}
	if host, _, err := probe.SplitHostPort(name); err == nil {
		names = append(names, host)
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == "" })
}

// hostIn returns the host of an endpoint, "" if it is a socket of this machine.
func hostIn(endpoint string) string {
	e, err := probe.ParseEndpoint(endpoint)
	if err != nil || e.Network == "unix" {
		return ""
	}
	host, _, err := net.SplitHostPort(e.Address)
	if err != nil {
		return ""
	}
	return host
}

// lastResorts returns the names of a domain's hosts that are its last resort: by
// MX there may be more than one.
func lastResorts(d *policy.Domain) (names []string) {
	for _, h := range d.Hosts() {
		if h.LastResort {
			names = append(names, h.Name)
		}
	}
	return names
}
