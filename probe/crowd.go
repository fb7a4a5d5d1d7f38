package probe

import (
	"context"
	"fmt"
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
	mu       sync.Mutex
	line     []*pending           // questions that no pipe has taken yet, in order
	pipes    int                  // connections that serve the line
	open     []*pipe              // those of them that have questions, the oldest first
	coming   int                  // connections on their way to it
	accepted share                // of the questions
	holds    share                // of the replies to what was written behind: the host keeps them back
	heldAt   time.Time            // when the last one was
	failed   time.Time            // when the last of those could not be had
	keptOff  time.Time            // since when somebody waits for a connection that a pipe has
	rests    map[string]time.Time // until when a domain's questions are put one by one; "": all
	closed   bool
	later    bool // the line is looked at again when its rest is over
}

// pending is a question in the line.
type pending struct {
	address     policy.Address
	calibration Calibration // how to read the reply
	key         calibrationKey
	speaker     *speaker       // who is asked
	reply       chan pipeReply // has room for it
	gone        bool           // it was written, and nobody waits for it any more
	put         time.Time      // when it was written
	behind      bool           // others had no reply then
}

// pipeReply is the reply to a question.
type pipeReply struct {
	reply policy.Reply
	at    time.Time // what the host says is as old as the connection
	err   error     // the question is to be put in another way
}

const (
	// pipeRest is how long a host is asked one by one that holds accepted
	// recipients back, or a domain that cannot be asked about in pipes, and nothing is written
	// behind at a host that holds replies back.
	pipeRest = time.Minute
	// lineRest is how long no further connection is sent for when one could not be
	// had.
	lineRest = time.Second
	// gatherPart is the part of a round trip that a question waits for others to go with
	// it, and quietPart the one that a reply too many is given to arrive.
	gatherPart = 20
	quietPart  = 50
	// holdPart is the part of a round trip that a reply to what was written behind is late by if
	// the host keeps it back, and mostHeld the part of them from which on nothing is written
	// behind: many hosts (Postfix) leave it to TCP to send no second small segment before the
	// first is acknowledged (RFC 896), a round trip later. QUIT has it sent at once.
	holdPart = 4
	mostHeld = 0.25
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
		p.testimony.yes(a.Domain(), one.speaker, a.String(), time.Now())
	case policy.No:
		if p.testimony.toAsk(a.Domain(), one.speaker, a.String(), time.Now()) != nil {
			return answer, false // somebody has to vouch for it
		}
		if p.cfg.isTooOld(r.at) {
			return answer, false // it grew too old while the reply was waited for
		}
		answer.At = r.at
	default:
		answer.Why = fmt.Sprintf("%q: %s", r.reply, m.why)
	}
	return answer, true
}

// joinLine gives a question to a connection that has room for it, or else puts it into
// the line, and sees to it that the line is served.
func (p *Prober) joinLine(one *pending) {
	c := &p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.heldAt) > pipeRest {
		c.holds = 0 // where nothing is written behind nothing is learnt
	}
	if q := p.roomFor(one); q != nil && q.give(one) {
		q.wake()
		return
	}
	if c.pipes+c.coming == 0 {
		c.accepted, c.holds = firstShare, 0 // of another crowd than the last one
	}
	c.line = append(c.line, one)
	p.send()
}

// roomFor returns the oldest pipe that has room for a question; nil if there is none, or if
// only pipes have that are about to be answered, and a connection is idle. The lock is held.
func (p *Prober) roomFor(one *pending) *pipe {
	c := &p.crowd
	var last *pipe
	for _, q := range c.open {
		isWritten := q.put == len(q.left)
		switch {
		case c.closed || q.free == 0 || isWritten && c.holds > mostHeld || q.hasStalled() || !q.takes(one) || isAmong(q.left, one):
		case !q.isDue():
			return q
		case last == nil:
			last = q
		}
	}
	if last != nil && p.pool.Stat().IdleResources() > 0 && time.Since(c.failed) >= lineRest {
		return nil
	}
	return last
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
	// Who was sent for a connection that is to be opened waits for that one.
	ready := int(p.pool.Stat().IdleResources())
	for (len(c.line) > c.coming*each || len(c.line) > 0 && ready > 0) && c.coming+c.pipes < p.cfg.Connections {
		c.coming++
		ready--
		p.helpers.Go(p.carry)
	}
}
