package policy

import (
	"slices"
	"sync"
	"time"
)

// How long the tests' memory remembers: what the design says.
const (
	ownerRefresh  = time.Hour
	ownerExpire   = 7 * 24 * time.Hour
	ownerPostpone = time.Minute
	noExpire      = 5 * time.Minute
	unsureExpire  = 10 * time.Second
)

// shelf is a Memory of two maps. Its lifetimes count from an answer's At.
type shelf struct {
	mu     sync.Mutex
	owners map[string]owned
	others map[Address][]Answer
	purges map[string]time.Time // by Address.Key
}

type owned struct {
	yes   Answer
	fresh time.Time // until then it is not stale
}

func newShelf() *shelf {
	return &shelf{owners: make(map[string]owned), others: make(map[Address][]Answer), purges: make(map[string]time.Time)}
}

func (s *shelf) Recall(a Address, now time.Time) Memo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m Memo
	if o, ok := s.owners[a.Key()]; ok && now.Sub(o.yes.At) < ownerExpire {
		m.Owner, m.Stale = o.yes, !now.Before(o.fresh)
	}
	m.Answers = slices.DeleteFunc(slices.Clone(s.others[a]), func(r Answer) bool {
		return now.Sub(r.At) >= lifetime(r.Says)
	})
	return m.with(m.Answers...)
}

// with returns the memo with those answers.
func (m Memo) with(answers ...Answer) Memo {
	m.Answers, m.Said = answers, answers
	for i, a := range answers {
		if i == 0 || a.At.Before(m.Oldest) {
			m.Oldest = a.At
		}
	}
	return m
}

func lifetime(s Says) time.Duration {
	if s == Unsure {
		return unsureExpire
	}
	return noExpire
}

func (s *shelf) Own(a Address, yes Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.owners[a.Key()] = owned{yes, yes.At.Add(ownerRefresh)}
	delete(s.others, a)
}

func (s *shelf) Postpone(a Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o, ok := s.owners[a.Key()]; ok {
		o.fresh = time.Now().Add(ownerPostpone)
		s.owners[a.Key()] = o
	}
}

func (s *shelf) Disown(a Address) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.owners, a.Key())
}

func (s *shelf) Keep(a Address, answers []Answer) {
	if s.Purged(a, answers) {
		answers = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.others[a] = slices.DeleteFunc(slices.Clone(answers), func(r Answer) bool {
		return r.Says == Yes || r.Says == Unasked
	})
}

func (s *shelf) Purged(a Address, answers []Answer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(answers, func(r Answer) bool { return r.At.Before(s.purges[a.Key()]) })
}

// purge forgets an address, in all its spellings.
func (s *shelf) purge(recipient string) {
	a, _ := ParseAddress(recipient)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purges[a.Key()] = time.Now()
	delete(s.owners, a.Key())
	for b := range s.others {
		if b.Key() == a.Key() {
			delete(s.others, b)
		}
	}
}

// owner returns the name of the host that is remembered as a mailbox's owner.
func (s *shelf) owner(recipient string) string {
	a, _ := ParseAddress(recipient)
	return s.Recall(a, time.Now()).Owner.Host
}

// force makes the memory say what no memory should: answers that were never kept.
func (s *shelf) force(a Address, answers []Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range answers {
		answers[i].At = time.Now()
	}
	s.others[a] = answers
}

// forget drops everything: a purge, a restart, or too many addresses.
func (s *shelf) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.owners)
	clear(s.others)
}
