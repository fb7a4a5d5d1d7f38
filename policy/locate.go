package policy

import (
	"context"
	"slices"
	"time"
)

// wish is how an asker wants to be answered.
type wish struct {
	until time.Time // he waits no longer
	begun time.Time // since when he waits
	fresh bool      // he wants no rejection that was remembered for a while
}

// findMailbox looks for the mailbox that an address leads to: the one of that very
// name, as Postfix does, and else, with a recipient_delimiter, the one without the
// extension. Reject needs a no to both, and so does a delivery to the last resort.
func (s *Searcher) findMailbox(ctx context.Context, d *Domain, a Address, w wish) (Finding, error) {
	base, extended := a.Base(d.Delimiter)
	if h := d.settled(a, base); h != nil {
		return Finding{Verdict: Deliver, Host: h, Source: SourceOwners}, nil
	}
	full, err := s.locate(ctx, d, d.asked(a), w, w.begun)
	if !extended || err != nil || !full.leansOnNo() {
		return full, err
	}
	f, err := s.locate(ctx, d, d.asked(base), w, time.Now())
	switch {
	case err != nil || !f.leansOnNo():
		return f, err
	case full.isOutlived(d), !s.stands(d, d.asked(a), full.Answers, w.begun):
		return s.deferred(f, "a remembered answer grew too old during the search"), nil
	case full.LastResort:
		return full, nil
	}
	return f, nil
}

// stands tells whether a rejection still does that was found a while ago: the
// domain has the same hosts, each no of theirs was given since then or is
// remembered yet and not revoked, and none is from before the address was flushed.
func (s *Searcher) stands(d *Domain, a Address, answers []Answer, since time.Time) bool {
	if !settles(d.Hosts(), answers) || s.memory.Purged(a, answers) || revoker(d.Hosts(), a, answers) != nil {
		return false
	}
	remembered := s.memory.Recall(a, time.Now()).Answers
	for _, was := range answers {
		if was.Says == No && was.At.Before(since) && !slices.ContainsFunc(remembered, was.same) {
			return false
		}
	}
	return true
}

// locate returns the finding about an address as it is put to the hosts. It leans on no
// answer from before that was flushed from memory: a search that was under way is joined,
// and a host may not have looked since a connection was opened.
func (s *Searcher) locate(ctx context.Context, d *Domain, a Address, w wish, now time.Time) (Finding, error) {
	f, err := s.recallOrJoin(ctx, d, a, w, now)
	if f.leansOnNo() && s.memory.Purged(a, f.Answers) {
		f = s.deferred(f, "it was flushed from memory, and a connection to a host is from before: ask again in a minute")
	}
	return f, err
}

// recallOrJoin returns what memory has of an address, or else the finding of a search.
func (s *Searcher) recallOrJoin(ctx context.Context, d *Domain, a Address, w wish, now time.Time) (Finding, error) {
	memo := s.memory.Recall(a, now)
	if memo.Owner.Says == Yes {
		if h := d.host(memo.Owner.Host); h != nil {
			// A message that is about to be sent there is worth a question behind it:
			// if the mailbox has moved, the next try finds it.
			if old := w.fresh && now.Sub(memo.Owner.At) >= freshFor; old || memo.Stale {
				s.refresh(d, a, h, memo.Owner, old)
			}
			return remembered(h, memo.Owner, now), nil
		}
		if len(d.Hosts()) == 0 { // by MX, which is not known yet: it may be one of them
			return s.deferred(Finding{}, whyDeferred(nil, nil)), nil
		}
		s.doubts.add(a)
		s.memory.Disown(a) // its host is the domain's no more
	}
	hosts := d.Hosts()
	if settles(hosts, memo.Said) {
		f := s.recalled(hosts, memo, now)
		doubted := f.Verdict == Reject && s.doubts.has(a, now) || // it may have arrived by now
			f.leansOnNo() && !isVouched(hosts, a, memo, now)
		if !doubted && (!f.leansOnNo() || !w.fresh || !f.isOlder(freshFor)) {
			return f, nil
		}
		return s.join(ctx, d, a, hosts, nil, w)
	}
	return s.join(ctx, d, a, hosts, memo.Answers, w)
}

// join waits for the search for an address, together with all who look for it. It goes
// on from the remembered answers.
func (s *Searcher) join(ctx context.Context, d *Domain, a Address, hosts []*Host, remembered []Answer, w wish) (Finding, error) {
	found := s.flights.DoChan(a.String(), func() (any, error) { return s.seek(d, a, hosts, remembered) })
	patience, stop := context.WithDeadline(ctx, w.until)
	defer stop()
	select {
	case r := <-found:
		f, _ := r.Val.(Finding)
		if f.Source == SourceMemory && w.fresh && f.Age >= freshFor { // another front end's
			s.refresh(d, a, f.Host, Answer{At: time.Now().Add(-f.Age)}, true)
		}
		if f.leansOnNo() && !settles(d.Hosts(), f.Answers) {
			// The search began before the domain got a host, which was not asked.
			f = s.deferred(f, "the domain's hosts changed during the search")
		}
		if f.leansOnNo() && f.isOutlived(d) {
			f = s.deferred(f, "an answer grew too old during the search")
		}
		if f.leansOnNo() {
			if h := revoker(d.Hosts(), a, f.Answers); h != nil {
				f = s.deferred(f, h.Name+": its no is not believed, for it denies mailboxes that it had, or did a moment ago")
			}
		}
		return f, r.Err
	case <-patience.Done():
	}
	return s.deferred(Finding{Source: SourceSearch}, "the search goes on"), nil
}

// settles tells whether remembered answers are those of just these hosts, so
// that no host needs to be asked.
func settles(hosts []*Host, answers []Answer) bool {
	if len(hosts) != len(answers) || len(hosts) == 0 {
		return false
	}
	for i, h := range hosts {
		if answers[i].Host != h.Name || answers[i].Says == Unasked {
			return false
		}
	}
	return true
}
