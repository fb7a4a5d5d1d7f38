package world

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/netip"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
	"postwhere/probe"
)

// hostsOf returns the hosts of these names, each made once. mu is locked, or
// nobody else has the world yet.
func (w *World) hostsOf(names []string) ([]*policy.Host, error) {
	var hosts []*policy.Host
	for _, name := range names {
		if w.hosts[name] == nil {
			h, err := w.newHost(name)
			if err != nil {
				return nil, err
			}
			w.hosts[name] = h
		}
		hosts = append(hosts, w.hosts[name])
	}
	return hosts, nil
}

func (w *World) newHost(name string) (*policy.Host, error) {
	h, err := w.Config.HostOf(name)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	p, err := w.newProber(name, h)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	at := newHostAddresses(h.Probe)
	w.addresses[name], w.settings[name] = at, w.settingsOf(h)
	return &policy.Host{
		Name: name, Route: h.Route, Mailer: h.Mailer, AliasDomain: h.AliasDomain, Prober: p,
		LastResort: h.LastResort, Names: namesIn(name, h), Addresses: at.has, Drained: w.isDrained(name), Revoked: p.Revoked, Vouched: p.Vouched, Saw: p.Saw,
	}, nil
}

// Prober is a host as it is asked, by whichever protocol.
type Prober interface {
	policy.Prober
	Calibrate(ctx context.Context, domain string) ([]probe.Calibration, error)
	State() probe.State
	Revoked(domain string, no time.Time) bool
	Vouched(domain string, no, now time.Time) bool
	Saw(a policy.Address, at time.Time)
	CloseIdle()
	Knowledge() probe.Knowledge
	Close()
}

// ProberOf returns what asks a host of a world.
func ProberOf(h *policy.Host) Prober { return h.Prober.(Prober) }

func (w *World) newProber(name string, h config.Host) (Prober, error) {
	endpoint, err := probe.ParseEndpoint(h.Probe)
	if err != nil {
		return nil, err
	}
	security, err := h.Security()
	if err != nil {
		return nil, err
	}
	var from netip.Addr
	if h.BindAddress != "" {
		if from, err = netip.ParseAddr(h.BindAddress); err != nil {
			return nil, err
		}
	}
	cfg := probe.Config{
		Name: name, Endpoint: endpoint, Method: h.Method, VRFY252: h.VRFY252,
		Helo:           policy.ProbeHelo(instanceID(w.Config.Probe.HeloName), w.Config.Probe.HeloName),
		Sender:         w.Config.Probe.Sender,
		SecondSender:   "postmaster@" + w.Config.Probe.HeloName,
		Control:        h.Control,
		Security:       security,
		BindAddress:    from,
		Connections:    int(h.Connections),
		Rate:           h.Rate,
		ConnectTimeout: time.Duration(w.Config.Probe.ConnectTimeout),
		ReplyTimeout:   time.Duration(w.Config.Probe.ReplyTimeout),
		MostAge:        w.Config.MostAge(),
		Log:            w.log,
		Drained:        w.isDrained(name),
		Known:          w.knowledgeOf(name, h),
	}
	if endpoint.Network == probe.MingerNetwork {
		return probe.NewMinger(cfg, security.Secret)
	}
	return probe.New(cfg)
}

// instanceID is the same after every start, so that it can be had in DNS for
// hosts that want the EHLO name to resolve.
func instanceID(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("%08x", h.Sum32())
}
