// Package cache remembers what mail hosts said about addresses: the memory of
// package policy, in this process.
//
// The owners of mailboxes and the answers about strangers, addresses that no
// host is known to have, live apart, each in a bounded LRU: however many
// strangers come, they push out no owner. Golang-lru keeps the order, its plain
// LRU; the entries are in tables beside it, one place in main memory each, and the
// times are in the entries, since each kind of answer has a lifetime of its own.
//
// Whatever is in doubt is forgotten: that costs a question to a host, while a
// no that outlived its time could cost a mailbox its mail. So lifetimes are only
// ever shortened, an entry that two addresses would share belongs to the later
// one, and what cannot be stored faithfully is not stored.
package cache

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"postwhere/policy"
)

// Cache is a policy.Memory in this process. Its methods may be called
// concurrently, and do no I/O.
type Cache struct {
	clock
	limits  atomic.Pointer[limits]
	seed    maphash.Seed
	names   *words // hosts and domains: as many as the configuration has
	methods *words // of asking: those that we have
	codes   *words // enhanced codes, which the hosts choose: so few
	sayings sayings
	shards  []shard
	split   uint // bits of a hash that choose the shard
	watched atomic.Pointer[Changes]
	purges  purges

	distrusted distrusted
}

var _ policy.Memory = (*Cache)(nil)

// shard has both kinds of entries of the addresses that fold to the same Key,
// so that Own is one step to every other call.
type shard struct {
	mu        sync.Mutex
	quiet     bool // nobody is told of owners who go
	owners    store[owner]
	strangers store[stranger]
	_         [32]byte // cache lines of its own: locks do not slow down their neighbours
}

// Shards are for the sake of what goes through all entries, and of tables that
// grow: that holds one lock at a time, for a millisecond or two. Askers alone would
// do with one lock.
const (
	fullShard  = 1 << 13 // entries of the kind that there are more of
	smallShard = 1 << 8  // of the other kind at least, else the shards are fewer
	maxShards  = 1 << 8
)

// Bounds of the tables that entries refer to by number.
const (
	maxNames = 1 << 16
	maxWords = 1 << 8 // methods, and codes
)

// New returns an empty Cache. The error names the option that it cannot have.
func New(opt Options) (*Cache, error) {
	c := &Cache{
		clock:   clock{born: time.Now()},
		seed:    maphash.MakeSeed(),
		names:   newWords(maxNames),
		methods: newWords(maxWords),
		codes:   newWords(maxWords),
	}
	c.sayings.init(maxSayings)
	few, many := min(opt.Owners, opt.Strangers), max(opt.Owners, opt.Strangers)
	// The hash's first bits choose the shard: their number is a power of two.
	n := max(min(many/fullShard, few/smallShard, maxShards), 1)
	c.split = uint(bits.Len(uint(n)) - 1)
	c.shards = make([]shard, 1<<c.split)
	c.limits.Store(c.limitsOf(opt))
	gone := func(s *shard) func(*owner) {
		return func(o *owner) {
			if !s.quiet {
				c.note(&o.name)
			}
		}
	}
	for i := range c.shards {
		s := &c.shards[i]
		var err error
		if err = s.owners.init(c.limits.Load().owners, c.split, gone(s)); err != nil {
			return nil, fmt.Errorf("cache: owners: %d entries: %w", opt.Owners, err)
		}
		if err = s.strangers.init(c.limits.Load().strangers, c.split, nil); err != nil {
			return nil, fmt.Errorf("cache: strangers: %d entries: %w", opt.Strangers, err)
		}
	}
	return c, nil
}

// Adjust gives the cache other bounds and lifetimes. The owners stay, as far as
// there is room for them; strangers are forgotten, since their times were counted
// by the old lifetimes: no Keep may be under way. The error names the option that
// it cannot have; then nothing has changed.
func (c *Cache) Adjust(opt Options) error {
	switch {
	case opt.Owners < 1:
		return fmt.Errorf("cache: owners: %d entries: want 1 or more", opt.Owners)
	case opt.Strangers < 1:
		return fmt.Errorf("cache: strangers: %d entries: want 1 or more", opt.Strangers)
	}
	l := c.limitsOf(opt)
	c.limits.Store(l)
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.strangers.clear()
		s.strangers.resize(l.strangers)
		s.owners.resize(l.owners)
		s.mu.Unlock()
	}
	return nil
}

// shard returns the shard of an address, by the hash of its folded spelling.
func (c *Cache) shard(folded key) *shard {
	// A shift by all 64 bits is 0 in Go: the only shard there is.
	return &c.shards[folded.hash>>(64-c.split)]
}

// Recall returns the answers about an address that are alive now: its owner, or else
// what the others said. It allocates nothing, and looks into one or two tables under a lock that
// is held for no longer.
func (c *Cache) Recall(a policy.Address, now time.Time) policy.Memo {
	return c.recall(a, now, c.moment(now))
}

func (c *Cache) recall(a policy.Address, now time.Time, m moment) (memo policy.Memo) {
	var room [keyRoom]byte
	folded, spelled := c.keys(a, room[:0])
	s, l := c.shard(folded), c.limits.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Read here, it comes out of main memory while the owners are looked through.
	maybeStranger := s.strangers.mayHave(spelled.hash)
	if o := s.owners.use(folded.hash); o != nil && c.is(&o.name, folded) {
		life := l.of(o.name.domain)
		if age := m.since(o.asked); age < shortened(life.Expire, folded.hash) {
			memo.Owner = c.answer(o, now.Add(-age))
			memo.Stale = age >= shortened(life.Refresh, folded.hash) && !o.isHeld(m)
			return memo
		}
		s.owners.remove(folded.hash)
	}
	if !maybeStranger {
		return memo
	}
	if st := s.strangers.use(spelled.hash); st != nil && c.is(&st.name, spelled) {
		if m.before(st.until) {
			return c.memo(st)
		}
		return c.prune(s, spelled.hash, st, m)
	}
	return memo
}

// Own remembers the host whose yes counts, under the address's Key, in place of
// an owner so far, and drops what was kept about this spelling of the address.
// It takes note of a yes only, and of none that is older than Expire. Of the
// host's reply the text is not kept, nor an enhanced code beyond the 255th; Took
// is kept in milliseconds, up to a minute.
func (c *Cache) Own(a policy.Address, yes policy.Answer) {
	now := time.Now()
	if yes.Says != policy.Yes || ageOf(yes.At, now) >= c.lifetimes(a.Domain()).Expire {
		return
	}
	var room [keyRoom]byte
	folded, spelled := c.keys(a, room[:0])
	o, ok := c.newOwner(folded, c.trusted(a.Domain(), yes, now), now)
	s := c.shard(folded)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.dropStranger(s, spelled)
	if ok && !c.purges.hit(folded, now, yes) {
		if old := s.owners.peek(folded.hash); old != nil && !c.is(&old.name, folded) {
			c.note(&old.name)
		}
		s.owners.put(folded.hash, o)
		c.note(&o.name)
	} else {
		c.dropOwner(s, folded)
	}
}

// Postpone notes that the owner could not be asked again: he stays, and is not
// stale for the lifetime of an Unsure. He lives no longer for it.
func (c *Cache) Postpone(a policy.Address) {
	var room [keyRoom]byte
	folded, _ := c.keys(a, room[:0])
	s := c.shard(folded)
	now := c.moment(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.owners.peek(folded.hash); o != nil && c.is(&o.name, folded) {
		o.hold(now, shortened(c.limits.Load().of(o.name.domain).Unsure, folded.hash))
	}
}

// Disown forgets the owner.
func (c *Cache) Disown(a policy.Address) {
	var room [keyRoom]byte
	folded, _ := c.keys(a, room[:0])
	s := c.shard(folded)
	s.mu.Lock()
	defer s.mu.Unlock()
	c.dropOwner(s, folded)
}

// Keep remembers the No and Unsure among the answers, for this very spelling of
// the address, in place of what was kept before. It touches no owner: an unsure
// answer never overwrites one. An answer that is older than its lifetime, or of
// a time to come, is dropped. The answers are copied, their texts cut to
// maxText.
func (c *Cache) Keep(a policy.Address, answers []policy.Answer) {
	now := time.Now()
	var room [keyRoom]byte
	folded, spelled := c.keys(a, room[:0])
	st, ok := c.newStranger(spelled, answers, now)
	s := c.shard(folded)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ok && !c.purges.hit(folded, now, st.answers...) {
		s.strangers.put(spelled.hash, st)
	} else {
		c.dropStranger(s, spelled)
	}
}

// ForgetStrangers forgets what was kept about all strangers: a domain's hosts
// may have changed. The owners stay.
func (c *Cache) ForgetStrangers() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.strangers.clear()
		s.mu.Unlock()
	}
}

// Len returns how many owners and strangers take up room. Some of them may have
// outlived their time: an entry goes when it is looked up or pushed out.
func (c *Cache) Len() (owners, strangers int) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		owners += s.owners.len()
		strangers += s.strangers.len()
		s.mu.Unlock()
	}
	return owners, strangers
}
