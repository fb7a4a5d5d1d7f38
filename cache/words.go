package cache

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

// words numbers strings that many entries have in common, so that an entry has a
// number of one or two bytes instead of a string of 16. Numbers are given for
// good; so only what is few by nature is numbered, and no more than the limit.
// Number 0 is "". Its methods may be called concurrently.
type words struct {
	limit int
	mu    sync.Mutex
	ids   map[string]uint16
	list  atomic.Pointer[[]string] // by number; read without a lock
}

// newWords returns a table of at most limit words, limit up to 65,536.
func newWords(limit int) *words {
	w := &words{limit: min(limit, math.MaxUint16+1), ids: map[string]uint16{"": 0}}
	w.list.Store(&[]string{""})
	return w
}

// id returns the number of a word, a new one if need be; false if all are given.
func (w *words) id(s string) (uint16, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id, ok := w.ids[s]; ok {
		return id, true
	}
	list := *w.list.Load()
	if len(list) >= w.limit {
		return 0, false
	}
	id, own := uint16(len(list)), strings.Clone(s)
	w.ids[own] = id
	// Readers of the old list do not look behind its end.
	list = append(list, own)
	w.list.Store(&list)
	return id, true
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
func (w *words) word(id uint16) string { return (*w.list.Load())[id] }
