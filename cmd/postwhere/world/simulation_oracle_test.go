package world

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// What DESIGN.md promises, and a search's settings, in the oracle's own numbers.
const (
	simDeadline = 10 * time.Second
	simRefresh  = time.Hour
	simExpire   = 7 * 24 * time.Hour
	simNo       = 5 * time.Minute
	simUnsure   = 10 * time.Second
	simFresh    = 90 * time.Second // how old a rejection may be at delivery
	simDoubt    = 10 * time.Minute // how long what was known is not refused
)

// simOracle judges findings by the history, and by what hosts were asked and said.
// All but judge is called with the simulation's lock held.
type simOracle struct {
	*simHistory
	questions map[*simMailbox][]time.Duration
	lastNo    [simHosts]map[string]time.Duration // when it was asked for, by spelling
	lastYes   [simHosts]map[*simMailbox]time.Duration
	looked    map[*simMailbox][]simLookup // since memory was restored
	delivered map[*simMailbox]delivered
	refused   map[*simMailbox]bool // by the verdict before
	restarted time.Duration        // the last time
	lost      time.Duration        // when memory was last lost in part

	faults []string
	counts map[string]int
}

type delivered struct {
	at   time.Duration
	host int
}

func newSimOracle(h *simHistory) *simOracle {
	o := &simOracle{
		simHistory: h,
		questions:  make(map[*simMailbox][]time.Duration),
		looked:     make(map[*simMailbox][]simLookup),
		delivered:  make(map[*simMailbox]delivered),
		refused:    make(map[*simMailbox]bool),
		counts:     make(map[string]int),
	}
	for i := range simHosts {
		o.lastNo[i], o.lastYes[i] = make(map[string]time.Duration), make(map[*simMailbox]time.Duration)
	}
	return o
}

func (o *simOracle) accuse(now time.Duration, format string, args ...any) {
	o.faults = append(o.faults, fmt.Sprintf("%v: ", now)+fmt.Sprintf(format, args...))
}

// judge judges one finding. The look-up's time is when it was asked for.
func (o *simOracle) judge(l simLookup, f policy.Finding, now time.Duration) {
	switch f.Verdict {
	case policy.Reject:
		o.judgeReject(l, f, now)
	case policy.Deliver:
		o.judgeDeliver(l, f, now)
	case policy.Defer:
		o.judgeDefer(l, f, now)
	default:
		o.accuse(now, "%s: %v", l.spelling, f.Verdict)
	}
	o.counts[f.Verdict.String()+" from "+f.Source]++
	o.refused[l.mailbox] = f.Verdict == policy.Reject
	o.looked[l.mailbox] = append(o.looked[l.mailbox], l)
}

// judgeReject: no mailbox is refused that has existed for longer than a no lives;
// and there is a no of each host that lives.
func (o *simOracle) judgeReject(l simLookup, f policy.Finding, now time.Duration) {
	life := simNo
	if l.delivery {
		life = simFresh
		o.counts["bounce"]++
	}
	if since := now - life; l.mailbox.existed(since, now) && !o.slippedBy(l.mailbox, since, now) {
		o.accuse(now, "rejected %s by %v from %s, and it exists: %v", l.spelling, f.Answers, f.Source, l.mailbox.stays)
	}
	for host := range simHosts {
		if no, ok := o.lastNo[host][l.spelling]; !ok || no <= l.at-life {
			o.accuse(now, "rejected %s by %v from %s, and mail%d last said no at %v", l.spelling, f.Answers, f.Source, host, no)
		}
		if o.trouble(host, now) == drained {
			o.accuse(now, "rejected %s while mail%d is drained", l.spelling, host)
		}
	}
	if d, ok := o.delivered[l.mailbox]; ok && d.at <= l.at && now-d.at < simDoubt && d.at > o.lost {
		o.accuse(now, "rejected %s, which was delivered at %v", l.spelling, d.at)
	}
}

// slippedBy tells whether a mailbox moved from one host to another in one moment,
// while both were being asked: then nobody can see it.
func (o *simOracle) slippedBy(m *simMailbox, from, to time.Duration) bool {
	slipped := slices.ContainsFunc(m.sudden, func(moved time.Duration) bool {
		return from <= moved && moved <= to && slices.ContainsFunc(o.questions[m], func(asked time.Duration) bool {
			return moved-simDeadline <= asked && asked <= moved+simDeadline
		})
	})
	if slipped {
		o.counts["slip"]++
	}
	return slipped
}

// judgeDeliver: the host has the mailbox; or it had it, and there was no occasion
// to find out since: no look-up behind which a host that is up would have been asked.
func (o *simOracle) judgeDeliver(l simLookup, f policy.Finding, now time.Duration) {
	host := int(f.Host.Name[len("mail")] - '0')
	last, ok := l.mailbox.lastOn(host, now)
	switch yes, said := o.lastYes[host][l.mailbox]; {
	case !ok || !said:
		o.accuse(now, "delivered %s to mail%d, which never had it", l.spelling, host)
	case l.at-yes >= simExpire:
		o.accuse(now, "delivered %s to mail%d, which last said yes at %v", l.spelling, host, yes)
	}
	stay, on := l.mailbox.on(host, l.at)
	forwards := on && stay.forwards
	if forwards {
		last = stay.from
	}
	for _, before := range slices.Backward(o.looked[l.mailbox]) {
		if before.at < last {
			break
		}
		if o.foundOut(before, host, last, forwards) && before.at+2*simDeadline < l.at {
			o.accuse(now, "delivered %s to mail%d, which last had it at %v, and was up at %v", l.spelling, host, last, before.at)
			break
		}
	}
	o.countDelivery(l, f, host, last)
	o.delivered[l.mailbox] = delivered{now, host}
}

// foundOut tells whether behind a look-up a host must have been asked that had the
// mailbox until then. One that says 251 now says yes: but whenever it does, the
// others are asked, too, and one of them has it, if all are up.
func (o *simOracle) foundOut(l simLookup, host int, last time.Duration, forwards bool) bool {
	window := simRefresh
	if l.delivery {
		window = simFresh
	}
	if l.at <= o.restarted || l.at < last+window {
		return false
	}
	since, until := l.at-simUnsure-2*simDeadline, l.at+2*simDeadline
	for other := range simHosts {
		if forwards && !o.wasWell(other, since-window, until) {
			return false
		}
	}
	return o.wasWell(host, since, until)
}

func (o *simOracle) countDelivery(l simLookup, f policy.Finding, host int, last time.Duration) {
	count := func(what string, is bool) {
		if is {
			o.counts[what]++
		}
	}
	before, known := o.delivered[l.mailbox]
	count("refresh", f.Source == policy.SourceMemory && f.Age >= simRefresh)
	count("move followed", known && before.host != host)
	count("route to where it was", last < l.at)
	count("route to a host in trouble", o.trouble(host, l.at) != well)
	count("appearance", o.refused[l.mailbox])
}

// judgeDefer: nobody is deferred whose host is known, whether it is up or not; nor
// while all hosts are well, but who was known until a moment ago.
func (o *simOracle) judgeDefer(l simLookup, f policy.Finding, now time.Duration) {
	if d, ok := o.delivered[l.mailbox]; ok && o.lost < d.at && d.at < l.at && l.at-o.lastYes[d.host][l.mailbox] < simExpire*9/10 {
		if stay, ok := l.mailbox.on(d.host, now); ok && stay.from < d.at {
			o.accuse(now, "deferred %s because %s, and it is known to be on mail%d", l.spelling, f.Why, d.host)
		}
	}
	allWell := true
	for host := range simHosts {
		allWell = allWell && o.wasWell(host, l.at-time.Minute, now)
		yes, said := o.lastYes[host][l.mailbox]
		if _, has := l.mailbox.on(host, now); has && said && l.at-yes >= simExpire*9/10 {
			o.counts["owner expired"]++
		}
	}
	if strings.Contains(f.Why, "until a moment ago") {
		o.counts["doubt"]++
		if len(l.mailbox.stays) > 0 && l.mailbox.stays[0].from < now {
			return
		}
	}
	if allWell && l.at-time.Minute > o.restarted {
		o.accuse(now, "deferred %s by %v because %s, and all hosts are well", l.spelling, f.Answers, f.Why)
	}
}

// restart notes that the program began anew.
func (o *simOracle) restart(kind restartKind, now time.Duration) {
	clear(o.looked) // an owner may be restored as he was before
	o.restarted = now
	if kind != stopped {
		o.lost = now
	}
	o.counts["restart"]++
}

// simOptions are the memory's defaults, if they are what the oracle goes by.
func simOptions() (opt cache.Options, ok bool) {
	opt = cache.Default()
	return opt, opt.Lifetimes == cache.Lifetimes{Refresh: simRefresh, Expire: simExpire, No: simNo, Unsure: simUnsure}
}
