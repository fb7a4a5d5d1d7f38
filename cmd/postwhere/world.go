package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
	"postwhere/probe"
)

// world is everything that one configuration stands for, but the memory and the
// listeners: its domains, hosts and their probers, and the searcher over them. A
// reload makes a new one and lets the old one end.
type world struct {
	cfg      *config.Config
	domains  []*policy.Domain
	searcher *policy.Searcher
	memory   *lentMemory
	past     past
	log      *slog.Logger
	resolver mxResolver
	resolved map[*policy.Domain]bool // by resolveMX

	addressResolver addressResolver
	newHosts        chan struct{} // by MX, whose addresses are to be looked up
	drained         *drainedHosts // the daemon's; nil: there is none

	endpoints sync.Map // of the hosts of the configuration; see endpointOf

	mu        sync.Mutex
	hosts     map[string]*policy.Host // by name; a host of two domains is one
	addresses map[string]*hostAddresses
	settings  map[string]string // of each host, and of those that are dropped; see settingsOf

	stop     context.CancelFunc
	helpers  sync.WaitGroup // MX, first calibrations, the hosts' addresses
	requests sync.WaitGroup // look-ups under way
}

// newWorld builds the world of a configuration. It asks nobody yet; see start.
// The probers see the values of ctx.
func newWorld(ctx context.Context, cfg *config.Config, memory policy.Memory, before past, observe observer, log *slog.Logger) (*world, error) {
	w := &world{
		past: before,
		cfg:  cfg, memory: &lentMemory{Memory: memory}, log: log, resolver: net.DefaultResolver, addressResolver: net.DefaultResolver,
		hosts: make(map[string]*policy.Host), addresses: make(map[string]*hostAddresses), settings: make(map[string]string),
		newHosts: make(chan struct{}, 1), resolved: make(map[*policy.Domain]bool), stop: func() {},
	}
	for i := range cfg.Domain {
		c := &cfg.Domain[i]
		d := &policy.Domain{
			Names: c.Name, AskAs: c.AskAs,
			Delimiter: c.RecipientDelimiter, Owners: c.OwnerList(),
			PassUnsure: policy.Verdict(c.Unsure) == policy.Pass, HostText: c.HostText,
		}
		if len(c.Hosts) > 0 {
			hosts, err := w.hostsOf(c.Hosts)
			if err != nil {
				w.closeProbers()
				return nil, err
			}
			d.SetHosts(hosts)
		}
		w.domains = append(w.domains, d)
	}
	shared, _ := memory.(policy.Shared)
	w.searcher = policy.NewSearcher(w.domains, w.memory, policy.Options{
		Deadline:       time.Duration(cfg.Search.Deadline),
		PreferenceWait: time.Duration(cfg.Search.PreferenceWait),
		MaxSearches:    cfg.Search.MaxSearches,
		Bypass:         cfg.Bypass.Rules(),
		Reject:         cfg.Reply.Reject.Reply,
		Defer:          cfg.Reply.Defer.Reply,
		Observe:        observe,
		Log:            log,
		Shared:         shared,
		Doubts:         before.doubts,
		Base:           ctx,
	})
	return w, nil
}

// hostsOf returns the hosts of these names, each made once. mu is locked, or
// nobody else has the world yet.
func (w *world) hostsOf(names []string) ([]*policy.Host, error) {
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

func (w *world) newHost(name string) (*policy.Host, error) {
	h, err := w.cfg.HostOf(name)
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
		LastResort: h.LastResort, Names: namesIn(name, h), Addresses: at.has, Drained: w.isDrained(name),
	}, nil
}

// prober is a host as it is asked, by whichever protocol.
type prober interface {
	policy.Prober
	Calibrate(ctx context.Context, domain string) ([]probe.Calibration, error)
	State() probe.State
	CloseIdle()
	Knowledge() probe.Knowledge
	Close()
}

// proberOf returns what asks a host of a world.
func proberOf(h *policy.Host) prober { return h.Prober.(prober) }

func (w *world) newProber(name string, h config.Host) (prober, error) {
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
		Helo:           policy.ProbeHelo(instanceID(w.cfg.Probe.HeloName), w.cfg.Probe.HeloName),
		Sender:         w.cfg.Probe.Sender,
		SecondSender:   "postmaster@" + w.cfg.Probe.HeloName,
		Control:        h.Control,
		Security:       security,
		BindAddress:    from,
		Connections:    int(h.Connections),
		Rate:           h.Rate,
		ConnectTimeout: time.Duration(w.cfg.Probe.ConnectTimeout),
		ReplyTimeout:   time.Duration(w.cfg.Probe.ReplyTimeout),
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

// start looks after domains by MX and finds out how the hosts answer, in the
// background. close ends it.
func (w *world) start() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	for i, d := range w.domains {
		if len(w.cfg.Domain[i].Hosts) == 0 {
			w.helpers.Go(func() { w.followMX(ctx, d) })
			continue
		}
		w.calibrate(ctx, d, d.Hosts())
	}
	w.helpers.Go(func() { w.followAddresses(ctx) })
}

// calibrate asks each host about nonsense, so that the first recipient need not
// wait for it, and what is wrong with a host is in the log from the start.
func (w *world) calibrate(ctx context.Context, d *policy.Domain, hosts []*policy.Host) {
	for _, h := range hosts {
		w.helpers.Go(func() {
			if _, err := proberOf(h).Calibrate(ctx, d.AsksAbout()); err != nil && ctx.Err() == nil {
				w.log.Warn("host cannot be asked: "+consequence(d, h)+" until it can", "host", h.Name, "domain", d.Names[0], "why", err.Error())
			}
		})
	}
}

// consequence says what becomes of unknown recipients while a host cannot be
// asked.
func consequence(d *policy.Domain, h *policy.Host) string {
	switch {
	case h.LastResort:
		return "recipients that no other host has go to it unasked"
	case d.PassUnsure:
		return "unknown recipients are let in at the door"
	}
	return "unknown recipients get 4xx"
}

// resolveMX looks up, once, the hosts of the domain of that name, if it is one of
// ours and has them by MX. It is for a world that was not started, and is not
// called concurrently.
func (w *world) resolveMX(ctx context.Context, name string) error {
	for i, d := range w.domains {
		if len(w.cfg.Domain[i].Hosts) == 0 && slices.Contains(d.Names, name) && !w.resolved[d] {
			w.resolved[d] = true
			return w.adoptMX(ctx, d)
		}
	}
	return nil
}

// followMX keeps the domain's hosts what its MX records say.
func (w *world) followMX(ctx context.Context, d *policy.Domain) {
	tick := time.NewTicker(time.Duration(w.cfg.MX.Refresh))
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
func (w *world) adoptMX(ctx context.Context, d *policy.Domain) error {
	ctx, cancel := context.WithTimeout(ctx, mxTime)
	defer cancel()
	names, err := mxHosts(ctx, w.resolver, d.Names[0], w.cfg.MX.OwnNames)
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
func (w *world) dropUnused() {
	for name, h := range w.hosts {
		if !slices.ContainsFunc(w.domains, func(d *policy.Domain) bool { return slices.Contains(d.Hosts(), h) }) {
			delete(w.hosts, name)
			delete(w.addresses, name)
			w.helpers.Go(proberOf(h).Close)
		}
	}
}

// close lets look-ups and searches under way end until ctx does, then ends the
// connections to the hosts.
func (w *world) close(ctx context.Context) {
	w.stop()
	w.helpers.Wait()
	w.requests.Wait()
	w.searcher.Close(ctx)
	w.closeProbers()
}

func (w *world) closeProbers() {
	var closing sync.WaitGroup
	for _, h := range w.hosts {
		closing.Go(proberOf(h).Close)
	}
	closing.Wait()
}
