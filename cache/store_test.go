package cache

import (
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"pgregory.net/rapid"
)

// turns is a store as its contract has it: a queue, and who was asked for since his
// turn.
type turns struct {
	limit int
	queue []uint64 // the next to be pushed out is the first
	value map[uint64]int
	used  map[uint64]bool
}

func (m *turns) put(hash uint64, v int) {
	if _, ok := m.value[hash]; ok {
		m.value[hash], m.used[hash] = v, true
		return
	}
	for len(m.queue) >= m.limit {
		m.push()
	}
	m.queue, m.value[hash] = append(m.queue, hash), v
}

// push pushes one out.
func (m *turns) push() {
	for first := m.queue[0]; m.used[first]; first = m.queue[0] {
		delete(m.used, first)
		m.queue = append(m.queue[1:], first)
	}
	m.remove(m.queue[0])
}

func (m *turns) remove(hash uint64) {
	m.queue = slices.DeleteFunc(m.queue, func(h uint64) bool { return h == hash })
	delete(m.value, hash)
	delete(m.used, hash)
}

func newStore(t testing.TB, limit int, split uint) *store[int] {
	t.Helper()
	var s store[int]
	if err := s.init(limit, split, nil); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestStoreIsLikeItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit, split := rapid.IntRange(1, 30).Draw(t, "limit"), uint(rapid.IntRange(0, 8).Draw(t, "split"))
		// Hashes that say one place, the first, the last, and any.
		aHash := rapid.OneOf(
			rapid.Map(rapid.Uint64Range(0, 40), func(i uint64) uint64 { return i * (flags + 1) << split >> split }),
			rapid.Map(rapid.Uint64Range(0, 40), func(i uint64) uint64 { return ^i << bits.Len(flags) << split >> split }),
			rapid.Map(rapid.Uint64Range(0, 40), func(i uint64) uint64 { return i << 58 >> split &^ flags }),
		)
		var s store[int]
		if err := s.init(limit, split, nil); err != nil {
			t.Fatal(err)
		}
		m := &turns{limit: limit, value: make(map[uint64]int), used: make(map[uint64]bool)}
		n := 0
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				hash := aHash.Draw(t, "hash")
				n++
				before, known := len(m.queue), m.value[hash]
				m.put(hash, n)
				if out := s.put(hash, n); out != (known == 0 && len(m.queue) <= before) {
					t.Fatalf("pushed out: %v", out)
				}
			},
			"use": func(t *rapid.T) {
				hash := aHash.Draw(t, "hash")
				if v := s.use(hash); v == nil || *v != m.value[hash] {
					if v != nil || m.value[hash] != 0 {
						t.Fatalf("%x: got %v, want %d", hash, v, m.value[hash])
					}
					return
				}
				m.used[hash] = true
			},
			"remove": func(t *rapid.T) {
				hash := aHash.Draw(t, "hash")
				s.remove(hash)
				m.remove(hash)
			},
			"resize": func(t *rapid.T) {
				m.limit = rapid.IntRange(1, 30).Draw(t, "limit")
				s.resize(m.limit)
				for len(m.queue) > m.limit {
					m.push()
				}
			},
			"clear": func(*rapid.T) {
				s.clear()
				m.queue = nil
				clear(m.value)
				clear(m.used)
			},
			"": func(t *rapid.T) { checkStore(t, &s, m) },
		})
	})
}

func checkStore(t *rapid.T, s *store[int], m *turns) {
	if !slices.Equal(s.order.Keys(), m.queue) {
		t.Fatalf("order %x, want %x", s.order.Keys(), m.queue)
	}
	var sorted []uint64
	for i, at := range s.slots {
		if at.hash&taken == 0 {
			continue
		}
		hash := at.hash &^ flags
		home := s.home(hash)
		if home > i || slices.ContainsFunc(s.slots[home:i], func(before slot[int]) bool { return before.hash&taken == 0 }) {
			t.Fatalf("%x is at %d, its home is %d", hash, i, home)
		}
		if at.value != m.value[hash] || (at.hash&used != 0) != m.used[hash] {
			t.Fatalf("%x: got %+v, want %d, used %v", hash, at, m.value[hash], m.used[hash])
		}
		sorted = append(sorted, hash)
	}
	if len(sorted) != len(m.queue) || !slices.IsSorted(sorted) {
		t.Fatalf("table has %x, want %x in order", sorted, m.queue)
	}
	var found, step []uint64
	for next, more := uint64(0), true; more; found = append(found, step...) {
		step, next, more = s.matching(nil, next, 3, func(*int) bool { return true })
	}
	if !slices.Equal(found, sorted) {
		t.Fatalf("by steps %x, want %x", found, sorted)
	}
}

// The bound that a store keeps, against an exact LRU's: if less than half of the room is
// in use, nobody of those is pushed out who is asked for at least once in the time in
// which as many others come. An exact LRU bears twice as many.
func TestNobodyInUseIsPushedOut(t *testing.T) {
	for _, size := range []int{10, 1000, 20_000} {
		s := newStore(t, size, 0)
		hash := func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 &^ flags }
		r := rand.New(rand.NewPCG(1, uint64(size)))
		inUse := size/2 - 1
		asked := r.Perm(inUse)
		for i := range inUse {
			s.put(hash(i), i)
		}
		newcomer := inUse
		for range 10 {
			for i := range inUse {
				if v := s.use(hash(asked[i])); v == nil || *v != asked[i] {
					t.Fatalf("of %d: %d was pushed out", size, asked[i])
				}
				s.put(hash(newcomer), newcomer)
				newcomer++
			}
			if n := s.len(); n > atMost(size) {
				t.Fatalf("%d entries of %d", n, size)
			}
		}
	}
}

// How many of those who are asked for are known, as against an exact LRU.
func TestTurnsAreAboutAsGoodAsAnExactLRU(t *testing.T) {
	const size, all, asked = 2000, 100_000, 300_000
	for _, skew := range []float64{1.05, 1.2, 1.5} {
		s := newStore(t, size, 0)
		exact, err := simplelru.NewLRU[uint64, int](size, nil)
		if err != nil {
			t.Fatal(err)
		}
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), skew, 1, all)
		ours, exacts := 0, 0
		for range asked {
			hash := zipf.Uint64() * 0x9e3779b97f4a7c15 &^ flags
			if s.use(hash) != nil {
				ours++
			} else {
				s.put(hash, 1)
			}
			if _, ok := exact.Get(hash); ok {
				exacts++
			} else {
				exact.Add(hash, 1)
			}
		}
		t.Logf("skew %v: %.1f%% known, exact LRU %.1f%%", skew, 100*float64(ours)/asked, 100*float64(exacts)/asked)
		if ours < exacts*99/100 {
			t.Errorf("skew %v: %d known, exact LRU %d", skew, ours, exacts)
		}
	}
}

// Whoever goes through a store by steps sees all that stay, whatever changes between.
func TestStepsSeeAllThatStay(t *testing.T) {
	s := newStore(t, 1<<20, 0)
	hash := func(i int) uint64 { return uint64(i) * 0x9e3779b97f4a7c15 &^ flags }
	for i := range 5000 {
		s.put(hash(i), i)
	}
	seen := make(map[int]bool)
	next, more := uint64(0), true
	for step := 0; more; step++ {
		_, next, more = s.matching(nil, next, 100, func(v *int) bool { seen[*v] = true; return false })
		for i := range 200 { // the table grows, and gaps come
			s.put(hash(10_000+200*step+i), 10_000+200*step+i)
			s.remove(hash(4000 + i + 20*step%1000))
		}
	}
	for i := range 4000 {
		if !seen[i] {
			t.Fatalf("%d was not seen", i)
		}
	}
}
