package probe

import (
	"errors"
	"slices"
	"strings"
	"time"

	"postwhere/policy"
)

// serveLine has a connection that is ready serve the line, if there are both. Others that
// were sent for wait for connections of their own.
func (p *Prober) serveLine() {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) > 0 && !c.closed && p.pool.Stat().IdleResources() > 0 {
		c.coming++
		p.helpers.Go(p.carry)
	}
}

// carry brings a connection to the line, and serves it as long as there is a line
// and the connection bears it.
func (p *Prober) carry() {
	q, err := p.pipe()
	p.arrive(err)
	p.warmUp() // another will be needed when this one is used up
	p.serve(q)
	p.depart(q)
}

// serve has the line's questions carried by a pipe, if there is one.
func (p *Prober) serve(q *pipe) {
	if q == nil {
		return
	}
	defer func() {
		if err := p.cfg.fault(recover()); err != nil {
			q.fail(err)
		}
		p.part(q)
	}()
	for p.take(q) {
		if err := q.carry(); err != nil {
			q.fail(err)
			return
		}
	}
}

// part gives the connection of a pipe back, or ends it.
func (p *Prober) part(q *pipe) {
	if !q.lone {
		p.release(q.held)
		return
	}
	q.s.lasted()
	p.sayGoodbye(q.s)
}

// makesWay tells whether a connection had better give up its place when what it has
// been given is answered: nothing is left of it, or all places are taken, and a fresh one
// carries more in the time. Of one that bears nine refusals, where a third of the questions are
// not refused, what is left after two round trips is one question or two. The lock is held.
func (p *Prober) makesWay(q *pipe) bool {
	places, budget := p.pool.Stat(), p.cfg.learnt.budget
	refused := float64(len(q.left)) * (1 - float64(p.crowd.accepted))
	left := float64(budget.left(RCPT, q.s.used)) - refused
	return left < 1 || places.TotalResources() == places.MaxResources() &&
		left*openingTrips < 0.75*float64(budget.left(RCPT, used{}))
}

// keepsOff tells whether a pipe, which ends when a hundred questions were accepted, keeps
// others off: none of the connections is free, and for as long as it takes to open one
// somebody has waited who is asked one by one, or whose domain is not known yet. One pipe
// at a time ends for that. The lock is held.
func (p *Prober) keepsOff(q *pipe) bool {
	c, places := &p.crowd, p.pool.Stat()
	full := places.TotalResources() == places.MaxResources() || p.grants.full()
	if !full || p.queueing.Load() == 0 && (len(c.line) == 0 || q.takes(c.line[0])) {
		c.keptOff = time.Time{}
		return false
	}
	now := time.Now()
	if c.keptOff.IsZero() {
		c.keptOff = now
	}
	if now.Sub(c.keptOff) < openingTrips*p.cfg.learnt.pace.roundTrip() {
		return false
	}
	c.keptOff = now
	return true
}

// firstShare is what is reckoned with before it is known.
const firstShare = 1.0 / 3

// share is the part of things that are so, of some fifty of late.
type share float64

func (s *share) note(so bool) {
	if so {
		*s += share(1-*s) / 50
	} else {
		*s -= *s / 50
	}
}

// arrive counts a connection, or what came in its place, as serving the line.
func (p *Prober) arrive(err error) {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming--
	c.pipes++
	if err != nil {
		c.failed = time.Now()
	}
}

// gone has another connection come in the place of one that has none any more.
func (p *Prober) gone() {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pipes--
	p.send()
}

// depart ends what arrive began.
func (p *Prober) depart(q *pipe) {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if q == nil || !q.lone {
		c.pipes--
	}
	if q != nil && q.wont {
		c.rest("")
		c.disperse(errOneByOne, everyone)
	}
	p.send()
}

// pipe returns a pipe over a connection that can carry the first of the line; nil
// if there is no line any more.
func (p *Prober) pipe() (*pipe, error) {
	q, err := p.tryPipe(false)
	if errors.Is(err, errUsedUp) { // by what it was asked before
		q, err = p.tryPipe(true)
	}
	return q, err
}

// tryPipe does so over one connection, as try puts a question.
func (p *Prober) tryPipe(fresh bool) (found *pipe, err error) {
	first, ok := p.crowd.first()
	if !ok {
		return nil, nil
	}
	held, err := p.acquire(p.ctx, first, fresh)
	if err != nil {
		return nil, err
	}
	q := &pipe{p: p, held: held, s: held.Value()}
	defer func() {
		if fault := p.cfg.fault(recover()); fault != nil {
			err, q.s.spoilt = fault, true
		}
		if found == nil {
			p.release(held)
		}
	}()
	for ; ok; first, ok = p.crowd.first() {
		if _, _, err = p.calibrate(p.ctx, q.s, RCPT, first.Domain()); err != nil {
			break
		}
		if q.room() == 0 { // VRFY might do yet
			err = errUsedUp
			if fresh && q.s.aged() { // it took too long to open, and so would the next one
				p.crowd.sendAway("")
			}
			break
		}
		if q.s.pipelining && q.takes(&pending{address: first}) {
			return q, nil
		}
		p.crowd.sendAway(first.Domain())
	}
	return nil, err
}

// take gives a pipe questions out of the line, as many as it has room for, and sends
// for what the others need. It tells whether the pipe has any then; if it has none it
// gets no more.
func (p *Prober) take(q *pipe) bool {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	begins := !slices.Contains(c.open, q)
	if begins {
		c.open = append(c.open, q)
	}
	if !begins && (len(q.left) == 0 && p.makesWay(q) || p.keepsOff(q)) {
		q.leaves = true
	}
	q.free = q.room()
	waits := q.put > 0 && c.holds > mostHeld // for replies: nothing is written behind
	c.line = slices.DeleteFunc(c.line, func(one *pending) bool {
		return !waits && q.free > 0 && !isAmong(q.left, one) && q.give(one)
	})
	if begins && len(q.left) == 0 && len(c.line) > 0 { // nor would the next connection
		c.failed = time.Now()
	}
	if len(q.left) == 0 {
		c.open = slices.DeleteFunc(c.open, func(other *pipe) bool { return other == q })
		if q.leaves {
			q.s.over = errUsedUp
		}
	}
	p.send()
	return len(q.left) > 0
}

// pipeable tells whether the host of that greeting tells by RCPT, and repeats the
// address in its refusals, as far as that is known already.
func (p *Prober) pipeable(greeting, domain string) (Calibration, calibrationKey, bool) {
	k := calibrationKey{domain: domain, greeting: greeting, method: RCPT}
	c, ok := p.calibrations.peek(k)
	return c.Calibration, k, ok && c.Tells && c.repeats
}

// mentions tells whether a reply repeats an address.
func mentions(r policy.Reply, address string) bool {
	text, address := strings.ToLower(r.Text), strings.ToLower(address)
	for at := 0; ; {
		i := strings.Index(text[at:], address)
		if i < 0 || address == "" { // a note of what was learnt may have none
			return false
		}
		at += i + len(address)
		if !partOfAnother(text[:at-len(address)], text[at:]) {
			return true
		}
	}
}
