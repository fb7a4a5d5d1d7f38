package main

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
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

	endpoints sync.Map // of the hosts of the configuration; see endpointOf

	mu        sync.Mutex
	hosts     map[string]*policy.Host // by name; a host of two domains is one
	addresses map[string]*hostAddresses
	settings  map[string]string // of each host, and of those that are dropped; see settingsOf

	stop     context.CancelFunc
	helpers  sync.WaitGroup // MX, first calibrations, the hosts' addresses
	requests sync.WaitGroup // look-ups under way
}

// observer is told what became of each request; see policy.Options.
type observer func(r policy.Request, f policy.Finding, err error, took time.Duration)

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

// enter keeps the world from ending until it is left.
func (w *world) enter() { w.requests.Add(1) }

func (w *world) leave() { w.requests.Done() }

// takeBackMemory has the world remember no more: when it returns, nothing that its hosts
// say is kept but a yes.
func (w *world) takeBackMemory() { w.memory.takeBack() }

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

// withoutHost says, for each domain that has the host, what becomes of recipients
// while it cannot be asked.
func (w *world) withoutHost(name string) []string {
	then := []string{}
	for _, d := range w.domains {
		for _, h := range d.Hosts() {
			if h.Name == name {
				then = append(then, d.Names[0]+": "+consequence(d, h))
			}
		}
	}
	return then
}

// allHosts returns each host once, in the order of domains and of preference.
func (w *world) allHosts() []*policy.Host {
	var all []*policy.Host
	for _, d := range w.domains {
		for _, h := range d.Hosts() {
			if !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}
