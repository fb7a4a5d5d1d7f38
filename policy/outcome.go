package policy

import (
	"slices"
	"time"
)

// finding makes a finding of answers, one for each host. The slice goes into it.
func (s *Searcher) finding(hosts []*Host, answers []Answer, source string) Finding {
	f := Finding{Source: source, Answers: answers}
	var owner int
	f.Verdict, owner = Decide(hosts, answers)
	now := time.Now()
	for _, a := range answers {
		if a.Says != Unasked {
			f.Age = max(f.Age, now.Sub(a.At))
		}
	}
	switch f.Verdict {
	case Deliver:
		f.Host = hosts[owner]
		if answers[owner].Says == Yes {
			f.Age = now.Sub(answers[owner].At)
		} else {
			f.LastResort = true
			f.Why = "the last resort, as every other host said no; " + answers[owner].Host + ": " + answers[owner].Why
		}
	case Reject:
		f.Reply = s.opt.Reject
	case Defer:
		return s.deferred(f, whyDeferred(hosts, answers))
	}
	return f
}

// recalled makes a finding of remembered answers, one for each host.
func (s *Searcher) recalled(hosts []*Host, memo Memo, now time.Time) Finding {
	if v, _ := Decide(hosts, memo.Said); v != Reject {
		return s.finding(hosts, memo.Answers, SourceMemory)
	}
	return Finding{Verdict: Reject, Reply: s.opt.Reject, Source: SourceMemory, Age: max(now.Sub(memo.Oldest), 0), Answers: memo.Answers}
}

// remembered makes a finding of an owner that memory has.
func remembered(h *Host, owner Answer, now time.Time) Finding {
	return Finding{Verdict: Deliver, Host: h, Source: SourceMemory, Age: max(now.Sub(owner.At), 0)}
}

func (s *Searcher) deferred(f Finding, why string) Finding {
	f.Verdict, f.Host, f.LastResort, f.Reply, f.Why = Defer, nil, false, s.opt.Defer, why
	return f
}

// whyDeferred names the first host that is unsure. A last resort may be so: it is named
// only where no other is.
func whyDeferred(hosts []*Host, answers []Answer) string {
	if len(answers) == 0 {
		return "the domain's hosts are not known yet"
	}
	why := "a host has not answered"
	for _, a := range answers {
		isLast := slices.ContainsFunc(hosts, func(h *Host) bool { return h.LastResort && h.Name == a.Host })
		switch {
		case a.Says != Unsure:
		case !isLast:
			return a.Host + ": " + a.Why
		default:
			why = a.Host + ": " + a.Why
		}
	}
	return why
}

// whyDrained is why a host that is out of the asking is unsure.
const whyDrained = "it is drained, and not asked"

// leansOnNo tells whether the verdict is made of what hosts said No to: it falls
// if one of them was not asked, or was asked about something else.
func (f Finding) leansOnNo() bool { return f.Verdict == Reject || f.LastResort }

// isOlder tells whether the finding has an answer that is older than that, by one of the
// clocks: the monotonic one stands still while the machine sleeps.
func (f Finding) isOlder(age time.Duration) bool {
	now := time.Now()
	return slices.ContainsFunc(f.Answers, func(a Answer) bool {
		return max(now.Sub(a.At), now.Round(0).Sub(a.At.Round(0))) >= age
	})
}

// isOutlived tells whether one of the answers is older than a no about the domain counts.
func (f Finding) isOutlived(d *Domain) bool { return d.NoLife > 0 && f.isOlder(d.NoLife) }

// told returns the finding as the domain wants it to be told to who asked.
func (f Finding) told(d *Domain, atDoor bool) Finding {
	switch {
	case f.Verdict == Reject && d.HostText && len(f.Answers) > 0:
		base, _ := f.Address.Base(d.Delimiter)
		about := []Address{d.asked(f.Address), f.Address, d.asked(base), base}
		f.Reply = refusal{said: f.Answers[0].Reply, about: about, domain: d}.told(f.Reply)
	case f.Verdict == Defer && d.PassUnsure && atDoor:
		f.Verdict, f.LetIn, f.Reply, f.Why = Pass, true, Reply{}, "let in unsure: "+f.Why
	}
	return f
}
