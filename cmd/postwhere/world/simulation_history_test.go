package world

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// What the simulation is made of. All times count from its beginning.
const (
	simLength = 30 * 24 * time.Hour
	simHosts  = 3
	simNames  = 50
	forever   = time.Duration(1<<63 - 1)
)

// simHistory is all that happens in a simulation. It is written before it is
// played, so that what was true at a time is known without asking the program.
type simHistory struct {
	*rand.Rand
	troubles  [simHosts][]simTrouble
	mailboxes []*simMailbox
	lookups   []simLookup
	restarts  []simRestart
}

type simTrouble struct {
	from, to time.Duration
	kind     troubleKind
}

type troubleKind int

const (
	well       troubleKind = iota
	refusing               // every connection, at once
	hanging                // connects, and says nothing
	slow                   // answers, some of the time within the deadline
	panicking              // our own fault while it is asked
	drained                // by the administrator
	troubleEnd             // how many there are
)

// simMailbox is one name, and where there was a mailbox of it.
type simMailbox struct {
	local  string
	stays  []simStay
	sudden []time.Duration // when it was on one host, and the next moment on another
}

type simStay struct {
	host     int
	from, to time.Duration
	forwards bool // the host has moved it, and says 251
}

type simLookup struct {
	at       time.Duration
	mailbox  *simMailbox
	spelling string
	delivery bool // the queue manager asks; else smtpd at the door
}

type simRestart struct {
	at   time.Duration
	kind restartKind
}

type restartKind int

const (
	stopped    restartKind = iota // all is written
	killed                        // what is on disk is some seconds old
	emptied                       // the file is lost
	restartEnd                    // how many there are
)

func newSimHistory(seed uint64) *simHistory {
	h := &simHistory{Rand: rand.New(rand.NewPCG(seed, 0))}
	for i := range h.troubles {
		h.troubles[i] = h.someTroubles(i)
	}
	for i := range simNames {
		m := &simMailbox{local: fmt.Sprintf("user%d", i)}
		if i%5 != 4 { // else nobody ever has it
			h.live(m)
		}
		h.mailboxes = append(h.mailboxes, m)
	}
	for at := h.about(6 * time.Minute); at < simLength; at += h.about(6 * time.Minute) {
		// Some get mail by the minute, others not for days.
		few := h.Float64()
		h.mail(at, h.mailboxes[int(simNames*few*few*few)])
	}
	for _, t := range slices.Concat(h.troubles[:]...) {
		m := h.mailboxes[h.IntN(simNames)]
		h.mail(max(t.from-h.below(4*time.Minute), 0), m)
		h.mail(t.from+h.below(time.Minute), m)
	}
	slices.SortFunc(h.lookups, func(a, b simLookup) int { return cmp.Compare(a.at, b.at) })
	h.restarts = h.someRestarts()
	return h
}

// someRestarts draws when the program is restarted, also while it is known of a
// mailbox that it has just gone. The file is not lost while the last host is away:
// its owners are to be known until they expire.
func (h *simHistory) someRestarts() (all []simRestart) {
	for at := h.about(48 * time.Hour); at < simLength; at += h.about(48 * time.Hour) {
		kind := restartKind(h.IntN(int(restartEnd)))
		if away := h.trouble(simHosts-1, at); kind == emptied && away != well {
			kind = killed
		}
		all = append(all, simRestart{at, kind})
	}
	for _, m := range h.mailboxes {
		for _, s := range m.stays {
			if s.to < simLength && h.IntN(40) == 0 {
				all = append(all, simRestart{s.to + h.below(5*time.Minute), stopped})
			}
		}
	}
	slices.SortFunc(all, func(a, b simRestart) int { return cmp.Compare(a.at, b.at) })
	return all
}

// about draws a time that is so long on average.
func (h *simHistory) about(mean time.Duration) time.Duration {
	return time.Duration(h.ExpFloat64() * float64(mean))
}

// below draws a time.
func (h *simHistory) below(limit time.Duration) time.Duration {
	return time.Duration(h.Int64N(int64(limit)))
}

// someTroubles draws a host's. The last host is away for longer than an owner is
// remembered, too.
func (h *simHistory) someTroubles(host int) (all []simTrouble) {
	for at := h.about(10 * time.Hour); at < simLength; at += h.about(10 * time.Hour) {
		end := at + time.Minute + h.about(40*time.Minute)
		all = append(all, simTrouble{at, end, 1 + troubleKind(h.IntN(int(troubleEnd)-1))})
		at = end
	}
	if host < simHosts-1 {
		return all
	}
	away := simTrouble{12 * 24 * time.Hour, 20 * 24 * time.Hour, refusing}
	all = slices.DeleteFunc(all, func(t simTrouble) bool { return t.from < away.to && away.from < t.to })
	return append(all, away)
}

// live draws where a mailbox is when, and mail around each change.
func (h *simHistory) live(m *simMailbox) {
	at := h.about(10 * time.Hour)
	for at < simLength {
		for range 6 {
			h.mail(max(at-4*time.Minute+h.below(30*time.Minute), 0), m)
		}
		last := len(m.stays) - 1
		switch {
		case last < 0 || m.stays[last].to <= at:
			m.stays = append(m.stays, simStay{host: h.IntN(simHosts), from: at, to: forever})
		case h.IntN(10) < 3:
			m.stays[last].to = at
		default:
			at = h.move(m, at)
		}
		at += 2*time.Hour + h.about(20*time.Hour)
	}
}

// move draws how a mailbox moves, and returns when it did.
func (h *simHistory) move(m *simMailbox, at time.Duration) time.Duration {
	old := &m.stays[len(m.stays)-1]
	next := simStay{host: (old.host + 1 + h.IntN(simHosts-1)) % simHosts, from: at, to: forever}
	forward := simStay{host: old.host, from: at, to: at + 10*time.Minute + h.below(time.Hour), forwards: true}
	switch h.IntN(5) {
	case 0: // it is on both for a while
		old.to = at + time.Minute + h.below(10*time.Minute)
	case 1: // it is on neither for a while
		old.to = at
		next.from += h.below(20 * time.Minute)
	case 2:
		old.to = at
		m.stays = append(m.stays, forward)
	case 3: // off a host that fails, which is back a little later
		if up := h.recovery(old.host, at); up < simLength {
			next.from = up - h.below(4*time.Minute)
			for range 6 {
				h.mail(next.from-4*time.Minute+h.below(10*time.Minute), m)
			}
		}
		fallthrough
	default:
		old.to = next.from
		m.sudden = append(m.sudden, next.from)
	}
	m.stays = append(m.stays, next)
	return next.from
}

// recovery returns when the next trouble of a host ends that begins after a time.
func (h *simHistory) recovery(host int, after time.Duration) time.Duration {
	for _, t := range h.troubles[host] {
		if t.from > after+10*time.Minute && t.to-t.from > 10*time.Minute && t.kind != slow {
			return t.to
		}
	}
	return forever
}

// mail has somebody write to a mailbox: he is asked about at the door, and as the
// message is delivered, perhaps.
func (h *simHistory) mail(at time.Duration, m *simMailbox) {
	l := simLookup{at: at, mailbox: m, spelling: m.local, delivery: h.IntN(4) == 0}
	if h.IntN(4) == 0 {
		l.spelling = "U" + m.local[1:]
	}
	h.lookups = append(h.lookups, l)
	if h.IntN(3) == 0 {
		l.at, l.delivery = at+h.about(2*time.Minute), true
		h.lookups = append(h.lookups, l)
	}
}

// trouble returns what a host was in at a time.
func (h *simHistory) trouble(host int, at time.Duration) troubleKind {
	for _, t := range h.troubles[host] {
		if t.from <= at && at < t.to {
			return t.kind
		}
	}
	return well
}

// wasWell tells whether a host was in no trouble all the time between.
func (h *simHistory) wasWell(host int, from, to time.Duration) bool {
	return !slices.ContainsFunc(h.troubles[host], func(t simTrouble) bool { return t.from <= to && from <= t.to })
}

// on returns the stay of a mailbox on a host at a time.
func (m *simMailbox) on(host int, at time.Duration) (s simStay, ok bool) {
	for _, s := range m.stays {
		if s.host == host && s.from <= at && at < s.to {
			return s, true
		}
	}
	return simStay{}, false
}

// lastOn returns the last moment up to a time at which a host had a mailbox.
func (m *simMailbox) lastOn(host int, until time.Duration) (last time.Duration, ok bool) {
	for _, s := range m.stays {
		if s.host == host && s.from <= until {
			last, ok = max(last, min(s.to, until)), true
		}
	}
	return last, ok
}

// existed tells whether some host had the mailbox at each moment between.
func (m *simMailbox) existed(from, to time.Duration) bool {
	for from <= to {
		here := slices.IndexFunc(m.stays, func(s simStay) bool { return s.from <= from && from < s.to })
		if here < 0 {
			return false
		}
		from = m.stays[here].to
	}
	return from > 0
}
