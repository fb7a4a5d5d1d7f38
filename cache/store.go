package cache

import (
	"iter"
	"math/bits"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// store has a shard's entries of one kind, by their hashes. Golang-lru knows their
// order, and so who is pushed out; a table has the entries themselves, side by side.
// Of millions of entries each place in main memory that a look-up must see costs as
// much as all the rest of it. In the LRU they would be four, of which each says where
// the next is; in the table it is one.
//
// For the same reason a use is noted at the entry alone. When one is to be pushed out,
// those at the end of the order who were asked for since they had their turn get
// another one. So nobody goes who was asked for while all others had theirs, as long as
// there is somebody who was not.
//
// The table is sorted by hash, with gaps: an entry stands in the place that its hash
// says, or behind it with no gap between. A shard's lock guards its stores.
type store[V any] struct {
	slots []slot[V]
	homes uint64 // places that hashes say; some more are behind them
	split uint   // the hash's first bits, which all of the shard have in common
	order *simplelru.LRU[uint64, struct{}]
	limit int
	gone  func(*V) // told of who is pushed out or removed; nil: nobody is
}

// slot is a place in the table. The last bits of its hash are flags.
type slot[V any] struct {
	hash  uint64
	value V
}

const (
	taken = 1 << iota // an entry is here
	used              // and was asked for since it had its turn
	flags = taken | used
)

// A table grows by a fifth when six sevenths of it are taken: the room that is to
// spare is a fifth on average, and a look-up sees three or four entries.
const (
	fullOf7  = 6
	growthBy = 5
	minHomes = 8
)

// maxSpared is how many get another turn at once: a tenth of a millisecond's work. If
// there are more in a row, nobody goes for now: one in so many is above the limit then.
const maxSpared = 500

// init makes an empty store of at most limit entries where it is to stay, of the shard
// whose hashes have split bits in common. The error says that there can be none.
func (s *store[V]) init(limit int, split uint, gone func(*V)) (err error) {
	s.limit, s.split, s.gone = limit, split, gone
	s.order, err = simplelru.NewLRU(atMost(limit), func(hash uint64, _ struct{}) { s.drop(hash) })
	return err
}

// atMost returns how many entries there may ever be.
func atMost(limit int) int {
	if limit > 0 {
		limit += limit / maxSpared
	}
	return limit
}

// len returns how many entries there are.
func (s *store[V]) len() int { return s.order.Len() }

// peek returns the entry of a hash, nil if there is none. It is where it is until the
// next change of the store, and may itself be changed.
func (s *store[V]) peek(hash uint64) *V {
	if i, ok := s.find(hash); ok {
		return &s.slots[i].value
	}
	return nil
}

// mayHave tells whether there may be an entry of a hash: whether any is in the places
// where it most likely is. They are looked at without a branch between, so they come out of
// main memory together, and while the caller looks elsewhere.
func (s *store[V]) mayHave(hash uint64) bool {
	i := s.home(hash)
	if i+4 > len(s.slots) {
		return len(s.slots) > 0
	}
	at := s.slots[i : i+4]
	return (at[0].hash|at[1].hash|at[2].hash|at[3].hash)&taken != 0
}

// use is peek for one who asks for the entry: it is pushed out the later for it.
func (s *store[V]) use(hash uint64) *V {
	i, ok := s.find(hash)
	if !ok {
		return nil
	}
	if s.slots[i].hash&used == 0 { // else the line need not be written
		s.slots[i].hash |= used
	}
	return &s.slots[i].value
}

// put stores an entry in place of one with that hash, and returns whether another was
// pushed out for it.
func (s *store[V]) put(hash uint64, v V) (pushedOut bool) {
	if old := s.use(hash); old != nil {
		*old = v
		return false
	}
	pushedOut = s.shrink(s.limit - 1)
	pushedOut = s.order.Add(hash, struct{}{}) || pushedOut
	s.insert(hash, v)
	return pushedOut
}

// shrink pushes out who is beyond a number of entries, and not in use. It returns
// whether there was somebody.
func (s *store[V]) shrink(limit int) (pushedOut bool) {
	for s.order.Len() > limit && s.spare() {
		s.order.RemoveOldest()
		pushedOut = true
	}
	return pushedOut
}

// spare has those get another turn who are at the end of the order and in use. It
// returns whether one is there now who is not.
func (s *store[V]) spare() bool {
	for range maxSpared {
		hash, _, _ := s.order.GetOldest()
		i, ok := s.find(hash)
		if !ok || s.slots[i].hash&used == 0 {
			return ok
		}
		s.slots[i].hash &^= used
		s.order.Get(hash) // to the front
	}
	return false
}

// remove forgets the entry of a hash.
func (s *store[V]) remove(hash uint64) { s.order.Remove(hash) }

// clear forgets all entries, and tells nobody.
func (s *store[V]) clear() {
	s.slots, s.homes = nil, 0
	s.order.Purge()
}

// resize makes limit the bound, and pushes out whoever is beyond it.
func (s *store[V]) resize(limit int) {
	s.limit = limit
	s.shrink(limit)
	s.order.Resize(atMost(limit)) // whoever is in use
	if enough := uint64(s.order.Len())*2 + minHomes; enough < s.homes {
		s.rebuild(enough)
	}
}

// values returns copies of the entries, those first that are the next to be pushed out
// if nobody asks for them.
func (s *store[V]) values() []V {
	all := make([]V, 0, s.order.Len())
	for _, hash := range s.order.Keys() {
		if v := s.peek(hash); v != nil {
			all = append(all, *v)
		}
	}
	return all
}

// all goes through the entries, by their hashes. The store does not change meanwhile,
// but the entries may.
func (s *store[V]) all() iter.Seq[*V] {
	return func(yield func(*V) bool) {
		for i := range s.slots {
			if s.slots[i].hash&taken != 0 && !yield(&s.slots[i].value) {
				return
			}
		}
	}
}

// matching appends the hashes of those entries that match. It begins at the hash from,
// looks at no more entries than most, and returns where to go on, if there are more.
func (s *store[V]) matching(hashes []uint64, from uint64, most int, match func(*V) bool) (found []uint64, next uint64, more bool) {
	i, _ := s.find(from)
	for ; i < len(s.slots); i++ {
		at := &s.slots[i]
		switch {
		case at.hash&taken == 0:
		case most == 0:
			return hashes, at.hash &^ flags, true
		default:
			most--
			if match(&at.value) {
				hashes = append(hashes, at.hash&^flags)
			}
		}
	}
	return hashes, 0, false
}

// home returns the place that a hash says.
func (s *store[V]) home(hash uint64) int {
	place, _ := bits.Mul64(hash<<s.split, s.homes)
	return int(place)
}

// find returns where the entry of a hash is, or where it would have to be.
func (s *store[V]) find(hash uint64) (i int, ok bool) {
	for i = s.home(hash); i < len(s.slots); i++ {
		at := s.slots[i].hash
		if at&taken == 0 || at&^flags > hash {
			return i, false
		}
		if at&^flags == hash {
			return i, true
		}
	}
	return i, false
}

// insert puts an entry that is in the order into the table.
func (s *store[V]) insert(hash uint64, v V) {
	if uint64(s.order.Len())*7 > s.homes*fullOf7 {
		s.rebuild(s.homes + s.homes/growthBy + minHomes)
	}
	for {
		i, _ := s.find(hash)
		gap := i
		for gap < len(s.slots) && s.slots[gap].hash&taken != 0 {
			gap++
		}
		if gap < len(s.slots) {
			copy(s.slots[i+1:gap+1], s.slots[i:gap])
			s.slots[i] = slot[V]{hash | taken, v}
			return
		}
		s.rebuild(s.homes + s.homes/growthBy + minHomes)
	}
}

// drop takes an entry out of the table that has gone from the order. Those behind it
// that are not at home move up.
func (s *store[V]) drop(hash uint64) {
	i, ok := s.find(hash)
	if !ok {
		return
	}
	if s.gone != nil {
		s.gone(&s.slots[i].value)
	}
	end := i + 1
	for end < len(s.slots) && s.slots[end].hash&taken != 0 && s.home(s.slots[end].hash&^flags) < end {
		end++
	}
	copy(s.slots[i:], s.slots[i+1:end])
	s.slots[end-1] = slot[V]{}
}

// rebuild makes the table one of so many places.
func (s *store[V]) rebuild(homes uint64) {
	old := s.slots
	s.homes = homes
	s.slots = make([]slot[V], homes+homes/64+minHomes)
	onHugePages(s.slots)
	next := 0
	for j := range old {
		if old[j].hash&taken == 0 {
			continue
		}
		at := max(next, s.home(old[j].hash&^flags))
		for at >= len(s.slots) {
			s.slots = append(s.slots, slot[V]{})
		}
		s.slots[at] = old[j]
		next = at + 1
	}
}
