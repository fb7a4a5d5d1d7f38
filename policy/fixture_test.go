package policy

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Settings of the searches in the tests.
const (
	deadline       = 10 * time.Second
	preferenceWait = 500 * time.Millisecond
)

var (
	rejectReply = Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}
	deferReply  = Reply{Code: 450, Enhanced: "4.4.1", Text: "no answer"}
)

// site is a Searcher with one domain, example.com, whose hosts do as a test says.
type site struct {
	*Searcher
	domain *Domain
	memory *shelf
}

func newSite(t *testing.T, hosts ...*mailHost) *site {
	t.Helper()
	return newSiteOf(t, &Domain{Names: []string{"example.com"}}, hosts...)
}

func newSiteOf(t *testing.T, d *Domain, hosts ...*mailHost) *site {
	t.Helper()
	s := &site{domain: d, memory: newShelf()}
	d.SetHosts(listOf(hosts...))
	s.Searcher = newTestSearcher(t, s.memory, d)
	return s
}

// newTestSearcher returns a Searcher that ends with the test.
func newTestSearcher(t *testing.T, m Memory, domains ...*Domain) *Searcher {
	t.Helper()
	s := NewSearcher(domains, m, Options{
		Deadline:       deadline,
		PreferenceWait: preferenceWait,
		Reject:         rejectReply,
		Defer:          deferReply,
		Log:            slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

// look searches for a recipient and waits as long as the search may take.
func (s *site) look(t *testing.T, recipient string) Finding {
	t.Helper()
	return s.ask(t, Request{Recipient: recipient})
}

func (s *site) ask(t *testing.T, r Request) Finding {
	t.Helper()
	f, err := s.Search(t.Context(), r)
	if err != nil {
		t.Fatalf("Search(%q): %v", r.Recipient, err)
	}
	return f
}

// begin starts a search that nobody here waits for.
func (s *site) begin(recipient string) {
	go func() { _, _ = s.Search(context.Background(), Request{Recipient: recipient}) }()
}

func wantVerdict(t *testing.T, f Finding, want Verdict) {
	t.Helper()
	if f.Verdict != want {
		t.Fatalf("verdict %v (%s, answers %v), want %v", f.Verdict, f.Why, f.Answers, want)
	}
	if (f.Host != nil) != (want == Deliver) {
		t.Errorf("%v with host %v", f.Verdict, f.Host)
	}
}

func wantDeliver(t *testing.T, f Finding, host *mailHost, source string) {
	t.Helper()
	wantVerdict(t, f, Deliver)
	if f.Host.Name != host.name || f.Source != source {
		t.Errorf("deliver to %s from %q, want %s from %q", f.Host.Name, f.Source, host.name, source)
	}
}

// mailHost is a mailbox host: what it says, after how long, and what it was asked.
type mailHost struct {
	name string

	mu    sync.Mutex
	says  func(Address) Answer
	after time.Duration
	asked []string
}

// newHost returns a host that has just these mailboxes, in just this spelling.
func newHost(name string, mailboxes ...string) *mailHost {
	h := &mailHost{name: name}
	h.has(mailboxes...)
	return h
}

func listOf(hosts ...*mailHost) []*Host {
	list := make([]*Host, len(hosts))
	for i, h := range hosts {
		list[i] = &Host{Name: h.name, Route: "smtp:[" + h.name + "]:25", Prober: h}
	}
	return list
}

// does makes the host answer by says from now on.
func (h *mailHost) does(says func(Address) Answer) *mailHost {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.says = says
	return h
}

func (h *mailHost) has(mailboxes ...string) *mailHost {
	known := make(map[string]bool)
	for _, m := range mailboxes {
		known[m] = true
	}
	return h.does(func(a Address) Answer {
		if known[a.Local()+"@"+a.Domain()] {
			return Answer{Says: Yes}
		}
		return Answer{Says: No}
	})
}

// always makes the host say the same about every address.
func (h *mailHost) always(a Answer) *mailHost {
	return h.does(func(Address) Answer { return a })
}

func (h *mailHost) down() *mailHost {
	return h.always(Answer{Says: Unsure, Why: "connection refused"})
}

// takes sets how long the host takes to answer.
func (h *mailHost) takes(d time.Duration) *mailHost {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.after = d
	return h
}

// silent makes the host answer later than any search waits.
func (h *mailHost) silent() *mailHost { return h.takes(2 * deadline) }

func (h *mailHost) Ask(ctx context.Context, a Address) Answer {
	at := time.Now()
	h.mu.Lock()
	h.asked = append(h.asked, a.String())
	says, after := h.says, h.after
	h.mu.Unlock()
	if !pause(ctx, after) {
		return UnsureOf(h.name, "%v", ctx.Err())
	}
	answer := says(a)
	answer.Host, answer.At, answer.Took = h.name, at, time.Since(at)
	return answer
}

// pause lets time pass, and tells whether it did before ctx ended. There is no
// timer for no time: several that end at once in a simulation under the race
// detector can crash the runtime (go1.26.8: they share one race context).
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// questions returns what the host was asked since the last call.
func (h *mailHost) questions() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

// wantAsked tells how often each of the hosts was asked since the last look.
func wantAsked(t *testing.T, times int, hosts ...*mailHost) {
	t.Helper()
	for _, h := range hosts {
		if q := h.questions(); len(q) != times {
			t.Errorf("%s was asked %d times %q, want %d", h.name, len(q), q, times)
		}
	}
}
