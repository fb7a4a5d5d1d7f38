package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Options are the settings of a Searcher. Deadline must be positive.
type Options struct {
	// Deadline bounds a search: a host that has not answered by then is unsure.
	// No asker waits longer. It must be below Postfix's patience with the face.
	Deadline time.Duration
	// PreferenceWait is how long a yes waits for hosts that would be preferred.
	PreferenceWait time.Duration
	// MaxSearches bounds the searches under way; beyond it the verdict is Defer.
	MaxSearches int
	// Bypass says who is let in unasked; nil: nobody.
	Bypass *Bypass
	// Reject and Defer are what the client is told with these verdicts.
	Reject, Defer Reply
	// Observe, if set, is called once for every request, with what became of it
	// and how long it took; concurrently.
	Observe func(r Request, f Finding, err error, took time.Duration)
	// Log takes what concerns the program and no recipient.
	Log *slog.Logger
	// Shared, if set, is the memory that other front ends have, too.
	Shared Shared
	// Doubts are those of the Searcher before this one; nil: it has its own.
	Doubts *Doubts
	// Base is the context whose values the probers see; nil: context.Background().
	Base context.Context
}

// Searcher finds the host of a mailbox. Its methods may be called concurrently.
type Searcher struct {
	domains map[string]*Domain
	memory  Memory
	opt     Options

	// Searches live on the daemon's context, not on an asker's: when the asker's
	// time is up, his retry finds what the search has learnt.
	ctx    context.Context
	cancel context.CancelFunc

	doubts    *Doubts
	flights   singleflight.Group // joins the askers for one address
	refreshes singleflight.Group // and those who find one owner stale

	mu      sync.Mutex
	running int
	closed  bool
	idle    *sync.Cond // running is 0
}

// NewSearcher returns a Searcher for the domains. Close ends it.
func NewSearcher(domains []*Domain, memory Memory, opt Options) *Searcher {
	s := &Searcher{domains: make(map[string]*Domain), memory: memory, opt: opt}
	for _, d := range domains {
		for _, name := range d.Names {
			s.domains[name] = d
		}
	}
	s.idle = sync.NewCond(&s.mu)
	if s.doubts = opt.Doubts; s.doubts == nil {
		s.doubts = &Doubts{}
	}
	if opt.Base == nil {
		opt.Base = context.Background()
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(opt.Base))
	return s
}

// Ours tells whether name, in any spelling, is a name of one of the domains.
func (s *Searcher) Ours(name string) bool {
	n, err := NormalDomain(name)
	return err == nil && s.domains[n] != nil
}

// Asked returns the address that the hosts are asked about, and that is remembered,
// for a recipient. The error says why there is none.
func (s *Searcher) Asked(recipient string) (Address, error) {
	a, err := ParseAddress(recipient)
	d := s.domains[a.domain]
	switch {
	case err != nil:
		return Address{}, err
	case d == nil:
		return Address{}, fmt.Errorf("%s is not one of our domains", a.domain)
	}
	return d.asked(a), nil
}

// Search returns the verdict about a recipient. What memory knows is answered
// without I/O. Else Search waits for the hosts, as long as the request's Wait,
// the search's deadline and ctx allow; then the verdict is Defer and the search
// goes on. An error is postwhere's own fault: there is no verdict then.
func (s *Searcher) Search(ctx context.Context, r Request) (Finding, error) {
	start := time.Now()
	f, err := s.find(ctx, r, start)
	if s.opt.Observe != nil {
		s.opt.Observe(r, f, err, time.Since(start))
	}
	return f, err
}

func (s *Searcher) find(ctx context.Context, r Request, start time.Time) (f Finding, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.opt.Log.Error("search failed", "fault", p, "stack", string(debug.Stack()))
			f, err = Finding{}, fmt.Errorf("internal fault: %v", p)
		}
	}()
	a, err := ParseAddress(r.Recipient)
	d := s.domains[a.domain]
	switch {
	case d == nil && err != nil:
		return Finding{Verdict: Pass, Why: err.Error()}, nil
	case d == nil:
		return Finding{Verdict: Pass, Address: a, Why: "not one of our domains"}, nil
	case isProbe(r.Helo):
		return Finding{Verdict: Pass, Address: a, Why: "a probe of another postwhere: it wants this host's own answer"}, nil
	case r.State == "VRFY" && d.hasClient(r.Client):
		// It would ask its own Postfix, which would ask us again, and so in circles.
		return Finding{Verdict: Pass, Address: a, Why: "a VRFY by one of the domain's own hosts: it wants this host's own answer"}, nil
	case errors.Is(err, ErrUnaskable):
		// It is not let in either: it could only wait in the queue, until it bounces.
		return s.deferred(Finding{Address: a}, err.Error()), nil
	}
	if why := s.opt.Bypass.reason(r, a); why != "" {
		return Finding{Verdict: Pass, Address: a, LetIn: true, Why: "bypass: " + why}, nil
	}
	wait := s.opt.Deadline
	if r.Wait > 0 && r.Wait < wait {
		wait = r.Wait
	}
	f, err = s.findMailbox(ctx, d, a, wish{begun: start, until: start.Add(wait), fresh: r.Fresh})
	f.Address = a
	switch {
	case f.leansOnNo() && (ambiguous(r.Recipient) || r.Unquoted && !a.isSpelled(r.Recipient)):
		f = s.deferred(f, "the hosts were asked about "+a.String()+", but another mailbox may be meant")
	case f.leansOnNo() && s.doubted(d, a, start):
		f = s.deferred(f, "it was a mailbox until a moment ago, and may be on its way to another host")
	case f.leansOnNo():
		// Here, at the end: a no of a host that is drained by now may be remembered,
		// or have come in a moment ago.
		if h := d.drainedBut(f.Host); h != nil {
			f = s.deferred(f, h.Name+": "+whyDrained)
		}
	}
	if err != nil {
		return f, err
	}
	return f.told(d, r.Door), nil
}

// doubted tells whether a mailbox that an address leads to was known until a
// moment ago: the one of that very name, or the one without the extension.
func (s *Searcher) doubted(d *Domain, a Address, now time.Time) bool {
	base, extended := a.Base(d.Delimiter)
	return s.doubts.has(d.asked(a), now) || extended && s.doubts.has(d.asked(base), now)
}

// enter counts a search in, if there may be one more; leave counts it out.
func (s *Searcher) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errors.New("shutting down")
	case s.opt.MaxSearches > 0 && s.running >= s.opt.MaxSearches:
		return fmt.Errorf("%d searches are under way, no more are begun", s.running)
	}
	s.running++
	return nil
}

func (s *Searcher) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running--; s.running == 0 {
		s.idle.Broadcast()
	}
}

// Close begins no more searches, lets those under way end until ctx does, and
// ends the rest. It returns when none is left.
func (s *Searcher) Close(ctx context.Context) {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, s.cancel)
	defer stop()
	s.mu.Lock()
	for s.running > 0 {
		s.idle.Wait()
	}
	s.mu.Unlock()
	s.cancel()
}
