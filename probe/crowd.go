package probe

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"postwhere/policy"
)

// crowd are the askers of a host that is far away, if there are more of them than
// connections to spare. They stand in one line, and each connection takes as many
// of their questions at once as it may carry (a pipe): if each asker waited for a
// connection of his own, most of it would be left unused. The zero value is an
// empty crowd; it may be used concurrently.
type crowd struct {
	mu     sync.Mutex
	line   []*pending           // questions that no pipe has taken yet, in order
	pipes  int                  // connections that serve the line
	coming int                  // connections on their way to it
	failed time.Time            // when the last of those could not be had
	rests  map[string]time.Time // until when a domain's questions are put one by one; "": all
	closed bool
	later  bool // the line is looked at again when its rest is over
}

// pending is a question in the line.
type pending struct {
	address     policy.Address
	calibration Calibration // how to read the reply
	key         calibrationKey
	reply       chan pipeReply // has room for it
	gone        bool           // nobody waits for it any more
}

// pipeReply is the reply to a question.
type pipeReply struct {
	reply policy.Reply
	at    time.Time // what the host says is as old as the connection
	err   error     // the question is to be put in another way
}

const (
	// pipeRest is how long a host is asked one by one that holds accepted
	// recipients back, or a domain that cannot be asked about in pipes.
	pipeRest = time.Minute
	// lineRest is how long no further connection is sent for when one could not be
	// had.
	lineRest = time.Second
	// gatherPart is the part of a round trip that a short line is given to grow.
	gatherPart = 50
	// openingTrips is what it takes to open a connection, in round trips: one for
	// TCP, one for EHLO, and what the greeting is on its way.
	openingTrips = 3
)

// crowded tells whether questions are better put together: the host is far away
// and more are asking than it has connections to spare. Where the questions have
// a rate there is nothing to be gained.
func (p *Prober) crowded(a policy.Address) bool {
	return p.rate == nil && int(p.asking.Load()) > max(p.cfg.Connections/2, 1) && a.IsASCII() &&
		p.cfg.Method != VRFY && p.cfg.learnt.pace.isFar() && !p.crowd.resting(a.Domain(), time.Now())
}

// askInCrowd puts a question through a pipe. It tells whether that settled it.
func (p *Prober) askInCrowd(ctx context.Context, a policy.Address) (policy.Answer, bool) {
	answer := policy.Answer{Host: p.cfg.Name, Method: RCPT.String(), At: time.Now()}
	one := &pending{address: a, reply: make(chan pipeReply, 1)}
	p.joinLine(one)
	var r pipeReply
	select {
	case r = <-one.reply:
	case <-ctx.Done():
		p.crowd.leave(one)
		return policy.UnsureOf(p.cfg.Name, "no answer in time"), true
	}
	if r.err != nil {
		return answer, false
	}
	m := question{method: RCPT, address: a.String(), calibration: one.calibration}.read(r.reply)
	answer.Reply, answer.Says, answer.Weak, answer.Took = r.reply, m.says, m.weak, time.Since(answer.At)
	switch m.says {
	case policy.Yes:
		p.calibrations.sawAcceptance(one.key, a.String())
		p.testimony.yes(a.Domain(), a.String(), time.Now())
	case policy.No:
		if p.testimony.toAsk(a.Domain(), time.Now()) != nil {
			return answer, false // somebody has to vouch for it
		}
		answer.At = r.at
	default:
		answer.Why = fmt.Sprintf("%q: %s", r.reply, m.why)
	}
	return answer, true
}

// joinLine puts a question into the line, and sees to it that the line is served.
func (p *Prober) joinLine(one *pending) {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = append(c.line, one)
	p.send()
}

// send sends for as many connections as the line needs. Where none is to be had
// the line is dispersed. The lock is held.
func (p *Prober) send() {
	c := &p.crowd
	if c.closed || time.Since(c.failed) < lineRest {
		if c.closed || c.coming+c.pipes == 0 {
			c.disperse(errOneByOne, everyone)
		}
		if len(c.line) > 0 && !c.later {
			c.later = true
			time.AfterFunc(lineRest, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.later = false
				p.send()
			})
		}
		return
	}
	each := max(p.cfg.learnt.budget.left(RCPT, used{}), 1)
	for len(c.line) > c.coming*each && c.coming+c.pipes < p.cfg.Connections {
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
		if err := p.fault(recover()); err != nil {
			q.fail(err)
		}
		p.release(q.held)
	}()
	for served := false; ; served = true {
		if served && p.makesWay(q) {
			q.s.over = errUsedUp
			return
		}
		p.gather(q)
		questions := p.take(q, served)
		if len(questions) == 0 {
			return
		}
		q.round(questions)
	}
}

// makesWay tells whether a connection had better give up its place: all are taken,
// and a fresh one carries more in the time. Of one that bears nine refusals, where
// a third of the questions are not refused, the third round is of one or two.
func (p *Prober) makesWay(q *pipe) bool {
	places := p.pool.Stat()
	return places.TotalResources() == places.MaxResources() &&
		q.room()*openingTrips < p.cfg.learnt.budget.left(RCPT, used{})
}

// gather lets a line that is short grow for a moment. Whoever was just answered asks
// again at once, one after the other, and a round of nine takes no longer than one
// of one.
func (p *Prober) gather(q *pipe) {
	if waiting := p.crowd.waiting(); 0 < waiting && waiting < q.room() {
		time.Sleep(p.cfg.learnt.pace.roundTrip() / gatherPart)
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

// depart ends what arrive began.
func (p *Prober) depart(q *pipe) {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pipes--
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
		if fault := p.fault(recover()); fault != nil {
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
			break
		}
		if q.s.pipelining && q.takes(&pending{address: first}) {
			return q, nil
		}
		p.crowd.sendAway(first.Domain())
	}
	return nil, err
}

// take takes questions for a pipe out of the line, as many as it has room for, and
// sends for what the others need. served tells whether it has taken any before.
func (p *Prober) take(q *pipe, served bool) []*pending {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	room, at := q.room(), 0
	var taken, left []*pending
	for ; at < len(c.line) && len(taken) < room; at++ {
		switch one := c.line[at]; {
		case one.gone:
		case isAmong(taken, one):
			left = append(left, one)
		case q.takes(one):
			taken = append(taken, one)
		default:
			left = append(left, one)
		}
	}
	c.line = append(left, c.line[at:]...)
	if !served && len(taken) == 0 && len(c.line) > 0 { // nor would the next connection
		c.failed = time.Now()
	}
	p.send()
	return taken
}

// pipeable tells whether the host of that greeting tells by RCPT, and repeats the
// address in its refusals, as far as that is known already.
func (p *Prober) pipeable(greeting, domain string) (Calibration, calibrationKey, bool) {
	k := calibrationKey{domain: domain, greeting: greeting, method: RCPT}
	c, ok := p.calibrations.peek(k)
	return c, k, ok && c.Tells && mentions(c.Refusal, c.Nonsense) && !namesAnother(c.Refusal, c.Nonsense)
}

// mentions tells whether a reply repeats an address.
func mentions(r policy.Reply, address string) bool {
	text, address := strings.ToLower(r.Text), strings.ToLower(address)
	for at := 0; ; {
		i := strings.Index(text[at:], address)
		if i < 0 {
			return false
		}
		at += i + len(address)
		if !partOfAnother(text[:at-len(address)], text[at:]) {
			return true
		}
	}
}
