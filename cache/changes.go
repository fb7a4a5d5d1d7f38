package cache

import "sync"

// Name is what an owner is known by outside: an Address's Key in parts, the local
// part folded.
type Name struct{ Local, Domain string }

// maxChanges is how many changed owners are noted: some 10 MB of names. Beyond it
// whoever wants to know has to look at all of them.
const maxChanges = 100_000

// Changes notes which owners have changed, since that takes less room than how:
// an owner that changes ten times is noted once. Its methods may be called
// concurrently.
type Changes struct {
	mu    sync.Mutex
	names map[Name]struct{}
	lost  bool
	aged  bool // any owner may be older than he was, which is no news to who has him
}

// Watch begins to note whose owner changes: one that is learnt, asked again,
// forgotten, expired or pushed out. Only the last Watch has effect.
func (c *Cache) Watch() *Changes {
	w := &Changes{}
	c.watched.Store(w)
	return w
}

// Unwatch ends what Watch began, unless there has been another Watch since.
func (c *Cache) Unwatch(w *Changes) { c.watched.CompareAndSwap(w, nil) }

// Take returns the names noted since the last Take, and forgets them. lost tells
// that there were too many: any owner may have changed.
func (w *Changes) Take() (names map[Name]struct{}, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, lost = w.names, w.lost || w.aged
	w.names, w.lost, w.aged = nil, false, false
	return names, lost
}

// GiveBack notes names once more that Take has returned.
func (w *Changes) GiveBack(names map[Name]struct{}, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = w.lost || lost
	for n := range names {
		w.put(n)
	}
}

func (w *Changes) add(n Name) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(n)
}

// put notes a name. mu is locked.
func (w *Changes) put(n Name) {
	switch {
	case w.lost:
		w.names = nil
		return
	case w.names == nil:
		w.names = make(map[Name]struct{})
	}
	if w.names[n] = struct{}{}; len(w.names) > maxChanges {
		w.names, w.lost = nil, true
	}
}

// lose notes that any owner may have changed.
func (w *Changes) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names, w.lost = nil, true
}

// age notes that any owner may be older than he was.
func (w *Changes) age() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aged = true
}

// has tells whether a name is noted, or may have been.
func (w *Changes) has(n Name) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.names[n]
	return ok || w.lost
}

// note notes an owner for whoever watches. His shard is locked.
func (c *Cache) note(n *name) {
	if w := c.watched.Load(); w != nil {
		w.add(Name{n.text(), c.names.word(n.domain)})
	}
}
