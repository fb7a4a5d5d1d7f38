package policy

import (
	"context"
	"time"
)

// Shared is the memory that several front ends have in common, behind Memory. It
// only ever knows who has a mailbox, and that a mailbox was known until a moment
// ago: nothing that it says makes a Reject. Its methods are called concurrently.
type Shared interface {
	// Consult has Memory own a mailbox that another front end has found, if accept
	// says that its yes counts here, and returns since when another front end's
	// host denies the mailbox; zero: it is not known to. A look-up waits for it:
	// some milliseconds at most, and not at all while the shared memory is known
	// to be away.
	Consult(ctx context.Context, a Address, accept func(yes Answer) bool) (denied time.Time)
	// Deny tells the other front ends that the owner has denied a mailbox when he
	// was asked at that time: they forget him, and do not refuse the mailbox for a
	// while. From then on Consult does not bring him back. It does no I/O.
	Deny(a Address, at time.Time)
}

// seek is what a look-up waits for that memory cannot answer. The other front ends
// are heard before the hosts are asked, and not meanwhile: that may take as long as
// a host that is near, but what they know spares all hosts the question.
func (s *Searcher) seek(d *Domain, a Address, hosts []*Host, remembered []Answer) (Finding, error) {
	if s.opt.Shared != nil && s.enter() == nil {
		f, ok := s.heard(d, a)
		s.leave()
		if ok {
			return f, nil
		}
	}
	return s.inquire(a, hosts, remembered)
}

// heard returns the finding of another front end; none after a fault of ours.
func (s *Searcher) heard(d *Domain, a Address) (f Finding, ok bool) {
	defer s.survive("shared memory failed")
	s.consult(d, a)
	now := time.Now()
	memo := s.memory.Recall(a, now)
	h := d.host(memo.Owner.Host)
	if memo.Owner.Says != Yes || h == nil {
		return Finding{}, false
	}
	if h.Saw != nil {
		h.Saw(a, memo.Owner.At)
	}
	if memo.Stale {
		s.refresh(d, a, h, memo.Owner, false)
	}
	return remembered(h, memo.Owner, now), true
}

// consult has memory and doubts know what the other front ends do. A fault of ours
// is as if they knew nothing.
func (s *Searcher) consult(d *Domain, a Address) {
	defer s.survive("shared memory failed")
	denied := s.opt.Shared.Consult(s.ctx, a, func(yes Answer) bool {
		if d.host(yes.Host) == nil {
			// The domain had that host until a moment ago, perhaps, and the mailbox is
			// on its way to another.
			s.doubts.addSince(a, yes.At)
			return false
		}
		return !yes.At.Before(s.doubts.last(a)) // what was denied since is over
	})
	if !denied.IsZero() {
		s.doubts.addSince(a, denied)
	}
}

// sameTime is how much two looks at one answer may differ about its time: memory reckons
// with an age, and that by two clocks.
const sameTime = time.Second

// renewedElsewhere tells whether another front end has asked the owner since he
// was found stale here, or was not fresh enough, so that nobody need ask him again.
func (s *Searcher) renewedElsewhere(d *Domain, a Address, known Answer, fresh bool) bool {
	if s.opt.Shared == nil {
		return false
	}
	s.consult(d, a)
	memo := s.memory.Recall(a, time.Now())
	return memo.Owner.Says == Yes && d.host(memo.Owner.Host) != nil && memo.Owner.At.Sub(known.At) > sameTime &&
		!memo.Stale && (!fresh || time.Since(memo.Owner.At) < freshFor)
}

// deny tells the other front ends what the owner has said when he was asked at that
// time.
func (s *Searcher) deny(a Address, asked time.Time) {
	if s.opt.Shared != nil {
		s.opt.Shared.Deny(a, asked)
	}
}
