// Package world has what one configuration stands for: its domains, its hosts and what
// asks them, and the search over all. It neither listens nor remembers: the daemon gives
// it a memory, and so does a command that asks the hosts by itself.
package world

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

// World is everything that one configuration stands for, but the memory and the
// listeners: its domains, hosts and their probers, and the searcher over them. A
// reload makes a new one and lets the old one end. Its methods may be called
// concurrently; its exported fields are not to be changed.
type World struct {
	Config   *config.Config
	Domains  []*policy.Domain // as the configuration has them
	Searcher *policy.Searcher

	memory   *lentMemory
	past     Past
	log      *slog.Logger
	resolver mxResolver
	resolved map[*policy.Domain]bool // by ResolveMX

	addressResolver addressResolver
	newHosts        chan struct{} // by MX, whose addresses are to be looked up

	endpoints sync.Map // of the hosts of the configuration; see EndpointOf

	mu        sync.Mutex
	hosts     map[string]*policy.Host // by name; a host of two domains is one
	addresses map[string]*hostAddresses
	settings  map[string]string // of each host, and of those that are dropped; see settingsOf

	stop     context.CancelFunc
	helpers  sync.WaitGroup // MX, first calibrations, the hosts' addresses
	requests sync.WaitGroup // look-ups under way
}

// Observer is told what became of each request; see policy.Options.
type Observer func(r policy.Request, f policy.Finding, err error, took time.Duration)

// New builds the world of a configuration. It asks nobody yet; see Start.
// The probers see the values of ctx. The error names the host that cannot be had.
func New(ctx context.Context, cfg *config.Config, memory policy.Memory, before Past, observe Observer, log *slog.Logger) (*World, error) {
	w := &World{
		past:   before,
		Config: cfg, memory: &lentMemory{Memory: memory}, log: log, resolver: net.DefaultResolver, addressResolver: net.DefaultResolver,
		hosts: make(map[string]*policy.Host), addresses: make(map[string]*hostAddresses), settings: make(map[string]string),
		newHosts: make(chan struct{}, 1), resolved: make(map[*policy.Domain]bool), stop: func() {},
	}
	for i := range cfg.Domain {
		c := &cfg.Domain[i]
		d := &policy.Domain{
			Names: c.Name, AskAs: c.AskAs,
			Delimiter: c.RecipientDelimiter, Owners: c.OwnerList(),
			PassUnsure: policy.Verdict(c.Unsure) == policy.Pass, HostText: c.HostText,
			NoLife: cfg.NoLife(c),
		}
		if len(c.Hosts) > 0 {
			hosts, err := w.hostsOf(c.Hosts)
			if err != nil {
				w.CloseProbers()
				return nil, err
			}
			d.SetHosts(hosts)
		}
		w.Domains = append(w.Domains, d)
	}
	shared, _ := memory.(policy.Shared)
	w.Searcher = policy.NewSearcher(w.Domains, w.memory, policy.Options{
		Deadline:       time.Duration(cfg.Search.Deadline),
		PreferenceWait: time.Duration(cfg.Search.PreferenceWait),
		MaxSearches:    cfg.Search.MaxSearches,
		Bypass:         cfg.Bypass.Rules(),
		Reject:         cfg.Reply.Reject.Reply,
		Defer:          cfg.Reply.Defer.Reply,
		Observe:        observe,
		Log:            log,
		Shared:         shared,
		Doubts:         before.Doubts,
		Base:           ctx,
	})
	return w, nil
}

// Start looks after domains by MX and finds out how the hosts answer, in the
// background. Close ends it.
func (w *World) Start() {
	ctx, stop := context.WithCancel(context.Background())
	w.stop = stop
	for i, d := range w.Domains {
		if len(w.Config.Domain[i].Hosts) == 0 {
			w.helpers.Go(func() { w.followMX(ctx, d) })
			continue
		}
		w.calibrate(ctx, d, d.Hosts())
	}
	w.helpers.Go(func() { w.followAddresses(ctx) })
}

// calibrate asks each host about nonsense, so that the first recipient need not
// wait for it, and what is wrong with a host is in the log from the start.
func (w *World) calibrate(ctx context.Context, d *policy.Domain, hosts []*policy.Host) {
	for _, h := range hosts {
		w.helpers.Go(func() {
			if _, err := ProberOf(h).Calibrate(ctx, d.AsksAbout()); err != nil && ctx.Err() == nil {
				w.log.Warn("host cannot be asked: "+Consequence(d, h)+" until it can", "host", h.Name, "domain", d.Names[0], "why", err.Error())
			}
		})
	}
}

// Consequence says what becomes of unknown recipients while a host cannot be
// asked.
func Consequence(d *policy.Domain, h *policy.Host) string {
	switch {
	case h.LastResort:
		return "recipients that no other host has go to it unasked"
	case d.PassUnsure:
		return "unknown recipients are let in at the door"
	}
	return "unknown recipients get 4xx"
}

// Enter keeps the world from ending until it is left: Close waits.
func (w *World) Enter() { w.requests.Add(1) }

// Leave is the end of what began with Enter.
func (w *World) Leave() { w.requests.Done() }

// TakeBackMemory has the world remember no more: when it returns, nothing that its hosts
// say is kept but a yes.
func (w *World) TakeBackMemory() { w.memory.takeBack() }

// Close lets look-ups and searches under way end until ctx does, then ends the
// connections to the hosts.
func (w *World) Close(ctx context.Context) {
	w.stop()
	w.helpers.Wait()
	w.requests.Wait()
	w.Searcher.Close(ctx)
	w.CloseProbers()
}

// CloseProbers ends the connections to the hosts of a world that was never asked.
func (w *World) CloseProbers() {
	var closing sync.WaitGroup
	for _, h := range w.hosts {
		closing.Go(ProberOf(h).Close)
	}
	closing.Wait()
}

// WithoutHost says, for each domain that has the host, what becomes of recipients
// while it cannot be asked.
func (w *World) WithoutHost(name string) []string {
	then := []string{}
	for _, d := range w.Domains {
		for _, h := range d.Hosts() {
			if h.Name == name {
				then = append(then, d.Names[0]+": "+Consequence(d, h))
			}
		}
	}
	return then
}

// AllHosts returns each host once, in the order of domains and of preference.
func (w *World) AllHosts() []*policy.Host {
	var all []*policy.Host
	for _, d := range w.Domains {
		for _, h := range d.Hosts() {
			if !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}
