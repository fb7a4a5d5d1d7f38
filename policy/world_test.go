package policy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// world is what the model test looks at a Searcher with: hosts whose mailboxes
// come and go, that fail and are slow, and what is known of their past. Times are
// those of the simulation.
type world struct {
	*site
	began time.Time
	all   []*worldHost
	last  string // the name of the last resort, "": there is none

	mu      sync.Mutex
	listed  []*worldHost // the domain's hosts
	relist  time.Time    // since when they are
	lookups map[string][]time.Time
	faults  []string // rules that were broken

	delivered map[string]time.Time     // by recipient, since memory forgot
	flushed   map[string]time.Time     // by local part in lower case
	off       map[*worldHost]time.Time // until when a host was none of the domain's
}

type worldHost struct {
	name  string
	folds bool // takes Anna for anna

	mu      sync.Mutex
	boxes   map[string]worldBox // by local part
	trouble trouble
	delay   time.Duration
	well    time.Time            // since when it is in no trouble and quick
	lastYes map[string]time.Time // by local part in lower case
	lastNo  map[string]time.Time // so too
}

type worldBox struct {
	since time.Time
	weak  bool // the host only forwards for it
}

type trouble int

const (
	up trouble = iota
	refusing
	hanging
	panicking
	troubles
)

// quick is the delay up to which a host counts as well.
const quick = 2 * time.Second

func newWorldHost(name string, folds bool) *worldHost {
	return &worldHost{
		name: name, folds: folds, well: time.Now(),
		boxes: make(map[string]worldBox), lastYes: make(map[string]time.Time), lastNo: make(map[string]time.Time),
	}
}

func (h *worldHost) Ask(ctx context.Context, a Address) Answer {
	h.mu.Lock()
	trouble, delay := h.trouble, h.delay
	h.mu.Unlock()
	at := time.Now()
	if trouble == hanging {
		delay = 2 * deadline
	}
	if !pause(ctx, delay) {
		return UnsureOf(h.name, "%v", ctx.Err())
	}
	switch trouble {
	case refusing:
		return UnsureOf(h.name, "421")
	case panicking:
		panic("a bug")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	box, ok := h.box(a.Local())
	if !ok {
		h.lastNo[strings.ToLower(a.Local())] = time.Now()
		return Answer{Says: No, At: at}
	}
	h.lastYes[strings.ToLower(a.Local())] = time.Now()
	return Answer{Says: Yes, Weak: box.weak, At: at}
}

// box returns the mailbox that the host takes a local part for, the oldest one.
func (h *worldHost) box(local string) (found worldBox, ok bool) {
	for name, b := range h.boxes {
		if name == local || h.folds && strings.EqualFold(name, local) {
			if !ok || b.since.Before(found.since) {
				found = b
			}
			ok = true
		}
	}
	return found, ok
}

func (h *worldHost) put(local string, weak bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.boxes[local]; !ok {
		h.boxes[local] = worldBox{time.Now(), weak}
	}
}

func (h *worldHost) remove(local string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.boxes, local)
}

func (h *worldHost) fare(t trouble, delay time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble, h.delay = t, delay
	switch {
	case t != up || delay > quick:
		h.well = time.Time{}
	case h.well.IsZero():
		h.well = time.Now()
	}
}

// wellSince tells whether the host has been well since then.
func (h *worldHost) wellSince(then time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.well.IsZero() && h.well.Before(then)
}

// hasHad tells whether the host has had a mailbox since then.
func (h *worldHost) hasHad(local string, then time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	box, ok := h.box(local)
	return ok && box.since.Before(then)
}

func (h *worldHost) yes(local string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lastYes[strings.ToLower(local)]
}

func (h *worldHost) no(local string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lastNo[strings.ToLower(local)]
}

// forget makes the memory forget all.
func (w *world) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory.forget()
	clear(w.delivered)
}

// flush has a mailbox forgotten: it has come, say.
func (w *world) flush(local string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.memory.purge(local + "@example.com")
	w.flushed[strings.ToLower(local)] = time.Now()
	maps.DeleteFunc(w.delivered, func(name string, _ time.Time) bool {
		return slices.ContainsFunc(w.names(name), func(n string) bool { return strings.EqualFold(n, local) })
	})
}

// list makes some of the hosts the domain's.
func (w *world) list(hosts []*worldHost) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.all {
		if !slices.Contains(w.listed, h) {
			w.off[h] = time.Now()
		}
	}
	w.listed, w.relist = hosts, time.Now()
	var list []*Host
	for _, h := range hosts {
		list = append(list, &Host{Name: h.name, Prober: h, LastResort: h.name == w.last})
	}
	w.domain.SetHosts(list)
}

func (w *world) accuse(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf("%v: ", time.Since(w.began))+fmt.Sprintf(format, args...))
}

// lookUp asks as Postfix does, and judges the verdict.
func (w *world) lookUp(local string, wait time.Duration) {
	asked := time.Now()
	f, err := w.Search(context.Background(), Request{Recipient: local + "@example.com", Wait: wait})
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.accuse("%s: %v", local, err)
		return
	}
	names := w.names(local)
	switch f.Verdict {
	case Reject:
		w.judgeReject(names, f)
		w.judgeDoubt(local, asked)
	case Deliver:
		if f.LastResort {
			w.judgeLastResort(names, f)
			break
		}
		w.judgeDeliver(names, f)
		w.delivered[local] = time.Now()
		if !w.everYes(local) { // so it was looked for without its extension
			w.looked(names[len(names)-1], asked)
		}
	case Defer:
		w.judgeDefer(names, f, asked, wait)
	default:
		w.accuse("%s: %v", local, f.Verdict)
	}
	w.looked(local, asked)
}

func (w *world) looked(name string, at time.Time) {
	key := strings.ToLower(name)
	w.lookups[key] = append(w.lookups[key], at)
}

// everYes tells whether any host ever said yes to a local part.
func (w *world) everYes(local string) bool {
	return slices.ContainsFunc(w.all, func(h *worldHost) bool { return !h.yes(local).IsZero() })
}

// names are the mailboxes that a recipient may lead to, the one that is looked
// for first first.
func (w *world) names(local string) []string {
	base, _, extended := strings.Cut(local, "+")
	if extended && w.domain.Delimiter != "" {
		return []string{local, base}
	}
	return []string{local}
}
