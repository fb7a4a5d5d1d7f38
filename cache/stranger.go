package cache

import (
	"strings"
	"time"
	"unicode/utf8"

	"postwhere/policy"
)

// maxText is how much of a host's reply, and of the reason why it is unsure, is
// kept for the administrator, in octets: a hostile host must not swell memory.
const maxText = 200

// stranger is what the hosts said about an address that none is known to have.
type stranger struct {
	name    name
	until   moment // when the first of the answers has lived
	oldest  int64  // when the oldest of them is from, as moment.mono
	answers []policy.Answer
	said    uint16 // in the cache's sayings; 0: it is in the answers only
}

// of returns the lifetime of an answer about a stranger; 0: not kept.
func (l *Lifetimes) of(says policy.Says) time.Duration {
	switch says {
	case policy.No:
		return l.No
	case policy.Unsure:
		return l.Unsure
	}
	return 0
}

// newStranger returns the entry of those answers that may be kept; false if there
// are none, or if there is no room for the name of the domain.
func (c *Cache) newStranger(k key, answers []policy.Answer, now time.Time) (st stranger, ok bool) {
	if st.name, ok = c.newName(k); !ok {
		return stranger{}, false
	}
	life := c.limits.Load().of(st.name.domain)
	alive := func(a policy.Answer) bool {
		// What is of a time to come has an age that nobody knows.
		age := ageOf(a.At, now)
		return 0 <= age && age < shortened(life.of(a.Says), k.hash)
	}
	n := 0
	for _, a := range answers {
		if alive(a) {
			n++
		}
	}
	if n == 0 {
		return stranger{}, false
	}
	st.answers = make([]policy.Answer, 0, n)
	for _, a := range answers {
		if alive(a) {
			a.At = anchored(a.At, now)
			a.Reply.Enhanced = brief(a.Reply.Enhanced, maxEnhanced)
			a.Reply.Text = brief(a.Reply.Text, maxText)
			a.Why = brief(a.Why, maxText)
			st.answers = append(st.answers, a)
		}
	}
	c.sum(&st, life, k.hash)
	return st, true
}

// sum notes of a stranger's answers, at least one, what a look-up wants to know.
func (c *Cache) sum(st *stranger, life *Lifetimes, hash uint64) {
	for i, a := range st.answers {
		at := c.moment(a.At)
		dies := at.plus(shortened(life.of(a.Says), hash))
		if i == 0 {
			st.oldest, st.until = at.mono, dies
		}
		st.oldest, st.until = min(st.oldest, at.mono), st.until.earlier(dies)
	}
	st.said = c.sayings.id(st.answers)
}

// memo returns what a look-up gets of a stranger.
func (c *Cache) memo(st *stranger) policy.Memo {
	said := st.answers
	if st.said != 0 {
		said = c.sayings.at(st.said)
	}
	return policy.Memo{Answers: st.answers, Said: said, Oldest: c.born.Add(time.Duration(st.oldest))}
}

// prune drops the answers that have lived, and returns what is left; with none the
// entry goes. Those who were handed the old slice keep it as it was. The shard is
// locked.
func (c *Cache) prune(s *shard, hash uint64, st *stranger, m moment) policy.Memo {
	life := c.limits.Load().of(st.name.domain)
	var left []policy.Answer
	for _, a := range st.answers {
		if m.since(c.moment(a.At)) < shortened(life.of(a.Says), hash) {
			left = append(left, a)
		}
	}
	if len(left) == 0 {
		s.strangers.remove(hash)
		return policy.Memo{}
	}
	st.answers = left
	c.sum(st, life, hash)
	return c.memo(st)
}

// dropStranger forgets what was kept about a spelling. The shard is locked.
func (c *Cache) dropStranger(s *shard, k key) {
	if st := s.strangers.peek(k.hash); st != nil && c.is(&st.name, k) {
		s.strangers.remove(k.hash)
	}
}

// brief returns a copy of at most limit octets of s, cut between characters. It
// is a copy since s may be a piece of a whole dialogue, which it would hold.
func brief(s string, limit int) string {
	if len(s) > limit {
		for limit > 0 && !utf8.RuneStart(s[limit]) {
			limit--
		}
		s = s[:limit]
	}
	return strings.Clone(s)
}
