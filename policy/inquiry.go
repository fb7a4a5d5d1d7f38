package policy

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"
)

// inquiry is one search among the hosts of a domain about one address.
type inquiry struct {
	s       *Searcher
	a       Address
	hosts   []*Host
	answers []Answer // one for each host; Unasked: still waited for
	recalls []int    // hosts whose answers are from memory
	waiting int      // hosts that have yet to answer
	heard   chan heard
}

// heard is the answer of one host.
type heard struct {
	host   int
	answer Answer
}

// inquire asks all hosts about which memory has no answer, at once, and returns
// as soon as the verdict is clear. Hosts that are still silent then may finish:
// cutting them off would cost a connection, and their answers are worth keeping.
func (s *Searcher) inquire(a Address, hosts []*Host, remembered []Answer) (f Finding, err error) {
	if err := s.enter(); err != nil {
		return s.deferred(Finding{}, err.Error()), nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.Deadline)
	end := func() {
		cancel()
		s.leave()
	}
	defer func() {
		if p := recover(); p != nil {
			end()
			s.opt.Log.Error("search failed", "fault", p, "stack", string(debug.Stack()))
			f, err = Finding{}, fmt.Errorf("internal fault: %v", p)
		}
	}()
	q := &inquiry{s: s, a: a, hosts: hosts, answers: make([]Answer, len(hosts)), heard: make(chan heard, len(hosts))}
	if slices.ContainsFunc(hosts, func(h *Host) bool { return h.LastResort }) {
		// What is delivered to a last resort may be lost there if another host has
		// the mailbox by now. So that, too, is all of one moment, and at no cost in
		// time: a last resort that hangs leaves none to ask again.
		remembered = slices.DeleteFunc(slices.Clone(remembered), func(r Answer) bool { return r.Says != Yes })
	}
	for i, h := range hosts {
		at := slices.IndexFunc(remembered, func(r Answer) bool { return r.Host == h.Name && r.Says != Unasked })
		if at >= 0 {
			q.answers[i] = remembered[at]
			q.recalls = append(q.recalls, i)
			continue
		}
		q.ask(ctx, i)
	}
	q.listen(ctx)
	if v, _ := Decide(q.hosts, q.answers); v == Reject {
		// A mailbox that has moved from a host that was down to one that had no
		// such mailbox yet would be refused by a no of either time. So what was
		// remembered is asked for again: a rejection is all of one moment.
		for _, i := range q.recalls {
			q.ask(ctx, i)
		}
		q.listen(ctx)
	}
	f = q.conclude()
	if q.waiting == 0 {
		end()
		return f, nil
	}
	go func() {
		defer end()
		defer s.survive("search failed")
		q.linger(ctx, f)
	}()
	return f, nil
}

// ask puts the question to the host of that index, and hears it later.
func (q *inquiry) ask(ctx context.Context, i int) {
	q.answers[i] = Answer{Host: q.hosts[i].Name}
	q.waiting++
	go func() {
		if q.hosts[i].LastResort {
			// Its silence is an answer. There must be time left to tell that to the
			// asker, and to ask about the base of an extended address after the full one.
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, q.s.opt.Deadline/3)
			defer cancel()
		}
		q.heard <- heard{i, q.s.ask(ctx, q.hosts[i], q.a)}
	}()
}

// ask puts the question to one host; a fault of ours is an Unsure answer.
func (s *Searcher) ask(ctx context.Context, h *Host, a Address) (answer Answer) {
	start := time.Now()
	defer func() {
		if p := recover(); p != nil {
			s.opt.Log.Error("probe failed", "host", h.Name, "fault", p, "stack", string(debug.Stack()))
			answer = UnsureOf(h.Name, "internal fault: %v", p)
		}
		if answer.Says != Yes && answer.Says != No {
			answer.Says = Unsure
		}
		answer.Host = h.Name
		if answer.At.IsZero() {
			answer.At = start
		}
	}()
	if h.drained() {
		return UnsureOf(h.Name, whyDrained)
	}
	return h.Prober.Ask(ctx, a)
}

// listen takes answers until the verdict is clear: all hosts have answered, or
// one said yes and none that would be preferred can still be heard in time.
func (q *inquiry) listen(ctx context.Context) {
	var patience <-chan time.Time // runs once somebody said yes
	for q.waiting > 0 {
		if yes, final := q.yes(); final {
			return
		} else if yes && patience == nil {
			patience = time.After(q.s.opt.PreferenceWait)
		}
		select {
		case h := <-q.heard:
			q.take(h)
		case <-patience:
			return
		case <-ctx.Done():
			q.giveUp(context.Cause(ctx))
			return
		}
	}
}

// yes tells whether a host said yes, and whether no host that is still silent
// could be preferred to it.
func (q *inquiry) yes() (yes, final bool) {
	_, owner := Decide(q.hosts, q.answers)
	if owner < 0 {
		return false, false
	}
	rivals := q.answers[:owner]
	if q.answers[owner].Weak {
		rivals = q.answers
	}
	return true, !slices.ContainsFunc(rivals, func(a Answer) bool { return a.Says == Unasked })
}

func (q *inquiry) take(h heard) {
	q.answers[h.host] = h.answer
	q.waiting--
}

// giveUp makes those that are silent at the deadline unsure.
func (q *inquiry) giveUp(cause error) {
	for i := range q.answers {
		if q.answers[i].Says == Unasked {
			q.answers[i] = UnsureOf(q.hosts[i].Name, "no answer in time: %v", cause)
		}
	}
}

// conclude makes the finding of what was heard so far, and remembers it. A last
// resort that did not say yes is no owner to be remembered: a mailbox that another
// host gets is to be found there once that host's no has expired.
func (q *inquiry) conclude() Finding {
	f := q.s.finding(q.hosts, slices.Clone(q.answers), SourceSearch)
	if f.leansOnNo() && f.isOlder(q.s.opt.Deadline+freshFor) {
		q.s.memory.Keep(q.a, nil)
		return q.s.deferred(f, "the machine slept during the search, or its clock was set")
	}
	if f.Verdict == Deliver && !f.LastResort {
		q.s.memory.Own(q.a, q.owner(f))
	} else {
		q.s.memory.Keep(q.a, f.Answers)
	}
	return f
}

func (q *inquiry) owner(f Finding) Answer {
	_, i := Decide(q.hosts, f.Answers)
	return f.Answers[i]
}

// linger hears the hosts that were not waited for. If one that is preferred to
// the owner says yes as well, it is the owner from now on.
func (q *inquiry) linger(ctx context.Context, f Finding) {
	for ; q.waiting > 0; q.waiting-- {
		h := <-q.heard
		if ctx.Err() == nil {
			q.answers[h.host] = h.answer
		}
	}
	if f.Verdict != Deliver {
		return
	}
	if _, i := Decide(q.hosts, q.answers); i >= 0 && q.hosts[i] != f.Host && q.answers[i].Says == Yes {
		q.s.memory.Own(q.a, q.answers[i])
	}
}

// refresh asks the owner of a remembered mailbox again, behind the look-up that
// was answered from memory: still yes, and the entry is as new; no, or a yes that
// is a forward now, and the mailbox has moved or is gone, so the others are asked, as
// after a no that is not believed, for mail that is sent there might bounce; else
// unsure, and the entry stands until it expires.
// known is what memory has of the owner, fresh that his word of late is wanted, and
// not just one that is not stale.
func (s *Searcher) refresh(d *Domain, a Address, owner *Host, known Answer, fresh bool) {
	s.memory.Postpone(a) // until the answer is here, or for a while if there is none
	// One refresh at a time, whatever memory makes of it, in whichever spelling.
	s.refreshes.DoChan(a.Key(), func() (any, error) {
		if s.enter() == nil {
			defer s.leave()
			defer s.survive("refresh failed")
			if !s.renewedElsewhere(d, a, known, fresh) {
				s.renew(d, a, owner)
			}
		}
		return nil, nil
	})
}

func (s *Searcher) renew(d *Domain, a Address, owner *Host) {
	ctx, cancel := context.WithTimeout(s.ctx, s.opt.Deadline)
	defer cancel()
	asked := time.Now() // a no is as old as its connection
	answer := s.ask(ctx, owner, a)
	var err error
	switch {
	case answer.Says == Yes && answer.Weak: // it may have moved, and be forwarded there
		_, err = s.inquire(a, d.Hosts(), []Answer{answer})
	case answer.Says == Yes:
		s.memory.Own(a, answer)
	case answer.Says == No, answer.Denied:
		s.doubts.add(a) // first: there is no moment without owner and doubt
		s.memory.Disown(a)
		s.deny(a, asked)
		s.memory.Keep(a, []Answer{answer})
		now := time.Now()
		_, err = s.locate(ctx, d, a, wish{until: now.Add(s.opt.Deadline)}, now)
	}
	if err != nil {
		s.opt.Log.Error("refresh failed", "err", err.Error())
	}
}

// survive, deferred in a goroutine that no asker waits for, keeps a fault of
// ours there from ending the program.
func (s *Searcher) survive(what string) {
	if p := recover(); p != nil {
		s.opt.Log.Error(what, "fault", p, "stack", string(debug.Stack()))
	}
}
