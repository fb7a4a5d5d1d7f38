package probe

import (
	"cmp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postwhere/policy"
)

// State is what a prober knows of its host at one moment. It is a value, all data.
// The zero value is a host that was never asked.
type State struct {
	// Reached: the host has answered at least once since the prober was made.
	Reached bool
	// DownSince is when the host could not be reached any more, Why the reason.
	// Zero: it is not known to be down.
	DownSince time.Time
	Why       string
	// Open is how many connections there are, InUse how many of them have a
	// question under way, and Limit how many there may be. With Minger they are
	// questions under way.
	Open, InUse, Limit int
	// VRFYs and Refusals are what one connection is used for, as learnt of the
	// host; 0 with Minger, which has no connections.
	VRFYs, Refusals int
	// Far: the host's replies take so long that questions are better put together.
	Far bool
	// Yes, No and Unsure are the answers since the prober was made.
	Yes, No, Unsure uint64
	// Denies are the domains in which the host's no is not believed, in order.
	Denies []Denial
	// Learnt is how the host answers, in order of domain: of each the method in use
	// last tried. Machines that share the host's name have one each.
	Learnt []Learnt
}

// Denial is a domain of which a host denies mailboxes that it had, since when, and one of them.
type Denial struct {
	Domain, Like string
	Since        time.Time
}

// Learnt is a calibration and the domain that it is about.
type Learnt struct {
	Domain string
	Calibration
}

// tally counts answers. The zero value is ready; it may be used concurrently.
type tally struct{ yes, no, unsure atomic.Uint64 }

func (t *tally) count(s policy.Says) {
	switch s {
	case policy.Yes:
		t.yes.Add(1)
	case policy.No:
		t.no.Add(1)
	default:
		t.unsure.Add(1)
	}
}

// tell writes the numbers into a state.
func (t *tally) tell(s *State) {
	s.Yes, s.No, s.Unsure = t.yes.Load(), t.no.Load(), t.unsure.Load()
}

// State returns what is known of the host. It asks nobody, and may be called
// concurrently.
func (p *Prober) State() State {
	stat := p.pool.Stat()
	s := State{
		Reached: p.health.reached.Load(),
		Open:    int(stat.IdleResources() + stat.AcquiredResources()),
		InUse:   int(stat.AcquiredResources()),
		Limit:   int(stat.MaxResources()),
		Far:     p.cfg.learnt.pace.isFar(),
		Denies:  p.testimony.denials(time.Now()),
		Learnt:  p.calibrations.inUse(),
	}
	s.VRFYs, s.Refusals = p.cfg.learnt.budget.now()
	p.tally.tell(&s)
	if o := p.health.outage.Load(); o != nil {
		s.DownSince, s.Why = o.since, printable(o.why.Error())
	}
	return s
}

// State returns what is known of the host. It asks nobody, and may be called
// concurrently.
func (p *MingerProber) State() State {
	s := State{
		Reached: p.heard.Load() != nil, Open: len(p.slots), InUse: len(p.slots), Limit: cap(p.slots),
		Denies: p.testimony.denials(time.Now()),
		Learnt: p.calibrations.inUse(),
	}
	p.tally.tell(&s)
	if o := p.health.outage.Load(); o != nil {
		s.DownSince, s.Why = o.since, printable(o.why.Error())
	}
	return s
}

// now returns how many VRFYs and refusals one connection is used for.
func (b *budget) now() (vrfys, refusals int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.vrfys.now, b.refusals.now
}

// inUse returns the calibrations by which the host is asked: of each domain and
// each machine behind its name that of VRFY if that tells, else that of RCPT.
func (c *calibrations) inUse() []Learnt {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []Learnt
	for k, known := range c.known {
		other := k
		other.method = VRFY
		if vrfy, ok := c.known[other]; ok && k.method == RCPT && vrfy.Tells {
			continue // asked only where a 252 is vague
		}
		other.method = RCPT
		if _, ok := c.known[other]; ok && k.method == VRFY && !known.Tells {
			continue
		}
		all = append(all, Learnt{k.domain, known.Calibration})
	}
	slices.SortFunc(all, func(a, b Learnt) int {
		return cmp.Or(strings.Compare(a.Domain, b.Domain), a.At.Compare(b.At))
	})
	return all
}
