package cache

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

// numbered numbers what many entries have in common, so that an entry has a number
// of one or two bytes instead of the thing. Numbers are given for good; so only what
// is few by nature is numbered, and no more than the limit. Number 0 is the zero T, by
// the key "". Its methods may be called concurrently.
type numbered[T any] struct {
	limit int
	mu    sync.Mutex
	ids   map[string]uint16
	list  atomic.Pointer[[]T] // by number; read without a lock
}

// init makes an empty table of at most limit things, limit up to 65,536.
func (n *numbered[T]) init(limit int) {
	n.limit, n.ids = min(limit, math.MaxUint16+1), map[string]uint16{"": 0}
	list := make([]T, 1)
	n.list.Store(&list)
}

// number returns the number of a thing by its key; if it has none yet, it gets one and
// is made of the table's own copy of the key. False if all numbers are given.
func (n *numbered[T]) number(key string, thing func(own string) T) (uint16, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if id, ok := n.ids[key]; ok {
		return id, true
	}
	list := *n.list.Load()
	if len(list) >= n.limit {
		return 0, false
	}
	id, own := uint16(len(list)), strings.Clone(key)
	n.ids[own] = id
	// Readers of the old list do not look behind its end.
	list = append(list, thing(own))
	n.list.Store(&list)
	return id, true
}

// at returns the thing of a number that was given.
func (n *numbered[T]) at(id uint16) T { return (*n.list.Load())[id] }

// words numbers strings.
type words struct{ numbered[string] }

// newWords returns a table of at most limit words, limit up to 65,536.
func newWords(limit int) *words {
	w := &words{}
	w.init(limit)
	return w
}

// id returns the number of a word, a new one if need be; false if all are given.
func (w *words) id(s string) (uint16, bool) {
	return w.number(s, func(own string) string { return own })
}

// id8 is id for a table of at most 256 words; a word that it has no room for is
// the first, which says nothing.
func (w *words) id8(s string) uint8 {
	id, ok := w.id(s)
	if !ok || id > math.MaxUint8 {
		return 0
	}
	return uint8(id)
}

// word returns the word of a number that id has given.
func (w *words) word(id uint16) string { return w.at(id) }
