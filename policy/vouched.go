package policy

import "time"

// unvouched returns a host whose no among the answers, one for each host, was believed at that
// time or later and is not any more; nil if there is none.
func unvouched(hosts []*Host, a Address, answers []Answer, since time.Time) *Host {
	for i, h := range hosts {
		if answers[i].Says == No && !h.vouched(a.domain, answers[i].At, since) {
			return h
		}
	}
	return nil
}

// remembersUnvouched tells whether a no of memory's, which has an answer for each host, is not
// believed any more. The time of the oldest is taken for that of each: to look at the answers
// takes as long as the rest of a look-up.
func remembersUnvouched(hosts []*Host, a Address, memo Memo, now time.Time) bool {
	for i, h := range hosts {
		if memo.Said[i].Says == No && !h.vouched(a.domain, memo.Oldest, now) {
			return true
		}
	}
	return false
}
