package probe

import (
	"context"
	"errors"
	"os"
	"time"
)

// wait waits until the host says something; it tells if it was woken instead.
func (q *pipe) wait() (woken bool, err error) {
	if !q.park() {
		return true, nil
	}
	q.s.wire.ackAtOnce() // the host may wait for that before it says anything further
	_, err = q.s.wire.in.Peek(1)
	woken = q.unpark()
	if err != nil && woken && errors.Is(err, os.ErrDeadlineExceeded) {
		return true, nil
	}
	return false, err
}

// park has wake wake the pipe, until unpark. It tells whether it need not have.
func (q *pipe) park() bool {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	q.owed = q.since(q.left[len(q.heard)])
	_ = q.s.wire.Conn.SetReadDeadline(q.owed.Add(q.s.cfg.ReplyTimeout))
	q.parked = !q.woken
	return q.parked
}

func (q *pipe) unpark() (woken bool) {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	q.parked = false
	_ = q.s.wire.Conn.SetReadDeadline(time.Now().Add(q.s.cfg.ReplyTimeout))
	return q.woken
}

// next returns the question that the next reply is to.
func (q *pipe) next() *pending {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	return q.left[len(q.heard)]
}

// isQuiet tells, where a yes is last, whether the host says nothing more, but farewell if
// we have said QUIT. One reply too many is given the time to arrive, and so is the reply
// to the last question, if this was the one to another before it.
func (q *pipe) isQuiet() bool {
	usual := q.p.cfg.learnt.pace.roundTrip()
	due := q.last().put.Add(min(q.trip, usual))
	if now := time.Now(); due.Before(now) {
		due = now
	}
	return q.s.wire.isQuiet(context.Background(), due.Add(usual/quietPart)) || q.s.hearsFarewell()
}

// last returns the question that was written last.
func (q *pipe) last() *pending {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	return q.left[q.put-1]
}

// since is when the host began to owe the reply to a question.
func (q *pipe) since(one *pending) time.Time {
	if one.put.After(q.said) {
		return one.put
	}
	return q.said
}

// hear reads a reply, learns from it, and hands on what it has shown to be in step.
func (q *pipe) hear() error {
	reply, err := readReply(q.s.wire.in)
	if err != nil {
		return err
	}
	if q.trip == 0 {
		q.trip = max(q.s.trip, time.Since(q.next().put)) // the reply to something else is there sooner
	}
	if q.begins {
		q.begins = false
		if reply.Code/100 != 2 {
			q.wont = true // one by one, another sender may be tried
			return refusedSender{reply}
		}
		q.fresh = true
		return nil
	}
	one := q.next()
	q.noteHold(one)
	if asked := one.address.String(); reply.Code/100 == 5 && !mentions(reply, asked) && (!wearsOut(reply) || namesAnother(reply, asked)) {
		return errPiped
	}
	late := q.s.learn(RCPT, reply, nil, q.since(one), q.fresh)
	q.fresh, q.said = false, time.Now()
	// An accepted RCPT begins a message: Postfix has some 100 of those to spare,
	// each transaction takes one until real mail gives it back, and then each
	// further one waits 1 s (in_flow_delay). VRFY costs nothing.
	q.wont = q.wont || late && reply.Code/100 == 2
	if q.s.over != nil {
		return q.s.over
	}
	q.heard = append(q.heard, reply)
	if reply.Code/100 == 5 {
		q.hand()
	}
	return nil
}

// noteHold notes whether the reply to a question that was written behind others took longer than
// those to others do.
func (q *pipe) noteHold(one *pending) {
	if !one.behind {
		return
	}
	usual, now := q.p.cfg.learnt.pace.roundTrip(), time.Now()
	held := now.Sub(one.put) > usual+usual/holdPart
	c := &q.p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.holds.note(held); held {
		c.heldAt = now
	}
}

// hand gives the replies, which are known to be in step, to their questions.
func (q *pipe) hand() {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	for i, reply := range q.heard {
		q.p.crowd.accepted.note(reply.Code/100 != 5)
		q.left[i].reply <- pipeReply{reply: reply, at: q.s.born}
	}
	q.left = q.left[len(q.heard):]
	q.put -= len(q.heard)
	q.heard = nil
}
