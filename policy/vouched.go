package policy

import "time"

// revoker returns a host whose no among the answers, one for each host, is not to be believed;
// nil if there is none.
func revoker(hosts []*Host, a Address, answers []Answer) *Host {
	for i, h := range hosts {
		if answers[i].Says == No && h.revoked(a.domain, answers[i].At) {
			return h
		}
	}
	return nil
}

// isVouched tells whether memory's noes, which has an answer for each host, are believed yet. The
// time of the oldest is taken for that of each: to look at the answers takes as long as the rest
// of a look-up.
func isVouched(hosts []*Host, a Address, memo Memo, now time.Time) bool {
	for i, h := range hosts {
		if memo.Said[i].Says == No && (h.revoked(a.domain, memo.Oldest) || !h.vouched(a.domain, memo.Oldest, now)) {
			return false
		}
	}
	return true
}
