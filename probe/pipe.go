package probe

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/puddle/v2"

	"postwhere/policy"
)

// pipe carries questions of the crowd over one connection, round by round: RCPT TO
// of one MAIL transaction, as many as the connection bears in one write, and then
// their replies (PIPELINING, RFC 2920). So they take one round trip, however many
// there are. A reply is known by its place. That is relied on only where a refusal
// repeats the address: one about another address shows that the stream is out of
// step. A yes, which repeats nothing, is handed on when what follows has shown that
// it is in step: a refusal, or the end of the round. It is used by one goroutine.
type pipe struct {
	p    *Prober
	held *puddle.Resource[*session]
	s    *session
	wont bool       // the host holds accepted recipients back, or does not take our sender
	left []*pending // questions of the round that have no reply yet, in order
}

// room is how many more questions the connection may carry: each may be refused.
func (q *pipe) room() int {
	if q.wont || q.s.spoilt || q.s.over != nil || time.Since(q.s.born) > maxAge {
		return 0
	}
	return q.s.cfg.learnt.budget.left(RCPT, q.s.used)
}

// takes tells whether a question can be put over this connection: the host of this
// greeting tells about the domain, and repeats the address in a refusal. It notes
// in the question how to read the reply.
func (q *pipe) takes(one *pending) (ok bool) {
	one.calibration, one.key, ok = q.p.pipeable(q.s.greeting, one.address.Domain())
	return ok
}

// errPiped: a reply in the pipe was about another address.
var errPiped = fmt.Errorf("%w: a reply about another address", errOutOfStep)

// round puts the questions and hands on the replies. If it fails, those that have
// none are put in another way, and the connection is spoilt.
func (q *pipe) round(questions []*pending) {
	q.left = questions
	if err := q.ask(); err != nil {
		q.fail(err)
	}
}

// fail ends the pipe: questions that have no reply are put in another way.
func (q *pipe) fail(err error) {
	q.s.over, q.s.spoilt = err, true
	for _, one := range q.left {
		one.reply <- pipeReply{err: err}
	}
	q.left = nil
}

// ask writes the questions and hands on the replies as they come.
func (q *pipe) ask() error {
	var lines []string
	begins := !q.s.mail
	if begins {
		lines = append(lines, "MAIL FROM:<"+q.s.cfg.Sender+">")
		q.s.mail = true
	}
	for _, one := range q.left {
		lines = append(lines, "RCPT TO:<"+one.address.String()+">")
	}
	q.s.used.rcpts += len(q.left)
	began := time.Now()
	_ = q.s.wire.Conn.SetDeadline(began.Add(q.s.cfg.ReplyTimeout))
	if err := q.s.wire.send(lines...); err != nil {
		return err
	}
	if begins {
		if err := q.begin(); err != nil {
			return err
		}
	}
	var replies []policy.Reply // to the first of those that are left
	for first := begins; len(replies) < len(q.left); first = false {
		if q.p.crowd.forsaken(q.left) {
			return errGivenUp
		}
		reply, err := q.hear(q.left[len(replies)], began, first)
		if err != nil {
			return err
		}
		began = time.Now()
		if replies = append(replies, reply); reply.Code/100 == 5 {
			q.hand(replies)
			replies = nil
		}
	}
	if len(replies) > 0 { // a yes is last: give one reply too many the time to arrive
		time.Sleep(q.p.cfg.learnt.pace.roundTrip() / gatherPart)
	}
	if err := q.s.wire.look(); errors.Is(err, errOutOfStep) {
		return err
	}
	q.hand(replies)
	return nil
}

// hand gives replies that are known to be in step to the first of the questions.
func (q *pipe) hand(replies []policy.Reply) {
	for _, reply := range replies {
		one := q.left[0]
		q.left = q.left[1:]
		one.reply <- pipeReply{reply: reply, at: q.s.born}
	}
}

// begin reads the reply to MAIL.
func (q *pipe) begin() error {
	reply, err := readReply(q.s.wire.in)
	if err == nil && reply.Code/100 != 2 {
		q.wont = true // one by one, another sender may be tried
		err = refusedSender{reply}
	}
	return err
}

// hear reads the reply to a question, and learns from it. began is when the one
// before it came: what all of a round wait for is the first one's.
func (q *pipe) hear(one *pending, began time.Time, usual bool) (policy.Reply, error) {
	_ = q.s.wire.Conn.SetDeadline(time.Now().Add(q.s.cfg.ReplyTimeout))
	reply, err := readReply(q.s.wire.in)
	switch {
	case err != nil:
		return reply, err
	case reply.Code/100 == 5 && !mentions(reply, one.address.String()):
		return reply, errPiped
	}
	late := q.s.learn(RCPT, reply, nil, began, usual)
	// An accepted RCPT begins a message: Postfix has some 100 of those to spare,
	// each transaction takes one until real mail gives it back, and then each
	// further one waits 1 s (in_flow_delay). VRFY costs nothing.
	q.wont = q.wont || late && reply.Code/100 == 2
	return reply, q.s.over
}
