package probe

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/jackc/puddle/v2"

	"postwhere/policy"
)

// pipe carries questions of the crowd over one connection: RCPT TO of one MAIL
// transaction, as many as the connection bears, each as soon as it comes, whether or
// not those before it have a reply (PIPELINING, RFC 2920). So they take one round trip,
// however many there are. A reply is known by its place. That is relied on only where a
// refusal repeats the address: one about another address shows that the stream is out of
// step. A yes, which repeats nothing, is handed on when what follows has shown that it
// is in step: a refusal, or the end of what there is to reply to; until then no more
// questions are taken. It is used by one goroutine, but for what is under the lock.
type pipe struct {
	p      *Prober
	held   *puddle.Resource[*session]
	s      *session
	wont   bool           // the host holds accepted recipients back, or does not take our sender
	begins bool           // MAIL has no reply yet
	fresh  bool           // the next reply is to the first question
	heard  []policy.Reply // to the first of what is left: each a yes, not known to be in step
	said   time.Time      // when the last reply came
	trip   time.Duration  // what the first reply took, as long as connecting at least
	lone   bool           // it has no place in the pool any more

	// The crowd's lock is for these.
	left   []*pending // questions that have no reply yet, or one in heard; in order
	put    int        // how many of those were written; only the pipe changes it
	free   int        // how many more may be given to it
	leaves bool       // it gets no more
	parked bool       // it waits for the host
	owed   time.Time  // since when, for the next reply
	woken  bool       // it is not to wait
}

// room is how many more questions the connection may carry: each may be refused. The
// lock is held.
func (q *pipe) room() int {
	if q.wont || q.leaves || q.s.spoilt || q.s.over != nil || len(q.heard) > 0 || q.s.aged() {
		return 0
	}
	expected := q.s.used
	expected.refusals += len(q.left)
	expected.rcpts += len(q.left) - q.put
	return q.s.cfg.learnt.budget.left(RCPT, expected)
}

// takes tells whether a question can be put over this connection: the host of this
// greeting tells about the domain, and repeats the address in a refusal.
func (q *pipe) takes(one *pending) bool {
	_, _, ok := q.p.pipeable(q.s.greeting, one.address.Domain())
	return ok
}

// give gives the pipe a question that it takes, and notes in it how to read the reply of this
// connection's host: others may answer by the same name. It tells whether it did. The lock is
// held.
func (q *pipe) give(one *pending) (ok bool) {
	calibration, key, ok := q.p.pipeable(q.s.greeting, one.address.Domain())
	if ok {
		one.calibration, one.key, one.speaker = calibration, key, q.s.speaker
		q.left = append(q.left, one)
		q.free--
	}
	return ok
}

// errPiped: a reply in the pipe was about another address.
var errPiped = fmt.Errorf("%w: a reply about another address", errOutOfStep)

// fail ends the pipe: questions that were put and have no reply are put in another way,
// and the others wait for another connection. This one is spoilt.
func (q *pipe) fail(err error) {
	q.s.over, q.s.spoilt = err, true
	c := &q.p.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = slices.DeleteFunc(c.open, func(other *pipe) bool { return other == q })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		q.s.cfg.learnt.silence.note(q.owed)
	}
	for _, one := range q.left[:q.put] {
		one.reply <- pipeReply{err: err}
	}
	c.line = slices.Concat(q.left[q.put:], c.line)
	q.left, q.put, q.free = nil, 0, 0
	q.p.send() // the host may take its time to hang up
}

// carry writes the questions that have come, waits for replies, or for further
// questions, and hands on the replies that have come.
func (q *pipe) carry() error {
	if err := q.write(); err != nil || q.put == 0 { // who asked is gone
		return err
	}
	q.makeWay()
	if woken, err := q.wait(); woken || err != nil {
		return err
	}
	for {
		if err := q.hear(); err != nil {
			return err
		}
		if q.s.wire.in.Buffered() == 0 || q.put == len(q.heard) {
			break
		}
	}
	if len(q.heard) == 0 || q.put > len(q.heard) {
		return nil
	}
	if !q.isQuiet() {
		return errOutOfStep
	}
	q.hand()
	return nil
}

// write writes what was not yet, of a few questions after a moment: whoever was just
// answered asks again at once, one after the other.
func (q *pipe) write() error {
	if q.isShort() {
		time.Sleep(q.p.cfg.learnt.pace.roundTrip() / gatherPart)
	}
	behind, now := q.put > 0, time.Now()
	questions, ends, err := q.unwritten(now)
	if err != nil {
		return err
	}
	var lines []string
	if len(questions) > 0 && !q.s.mail {
		lines = append(lines, "MAIL FROM:<"+q.s.cfg.Sender+">")
		q.s.mail, q.begins = true, true
	}
	for _, one := range questions {
		lines = append(lines, "RCPT TO:<"+one.address.String()+">")
	}
	if ends && !q.s.quit {
		lines = append(lines, "QUIT")
		q.s.quit = true
	}
	if len(lines) == 0 {
		return nil
	}
	q.s.used.rcpts += len(questions)
	_ = q.s.wire.Conn.SetWriteDeadline(now.Add(q.s.cfg.ReplyTimeout))
	if behind {
		_ = q.s.wire.sendBehind(lines...) // a host that has hung up may have said why: that is heard first
		return nil
	}
	return q.s.wire.send(lines...)
}

// makeWay frees the place of a connection that has said QUIT, right behind its last
// questions. The host hears it half a round trip later, and sees the connection that takes
// the place half a one after that: its handshake takes a whole one. The replies to
// the questions are yet to be heard.
func (q *pipe) makeWay() {
	if q.s.quit && !q.lone && q.p.vacate(q.held) {
		q.lone = true
		q.p.gone()
	}
}

// isShort tells whether there is something to be written, and room for more.
func (q *pipe) isShort() bool {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	return q.put < len(q.left) && q.free > 0
}

// unwritten returns the questions that have yet to be written, which now they are, and
// whether no more will come. It is an error if nobody waits for any question any more.
func (q *pipe) unwritten(now time.Time) (questions []*pending, ends bool, err error) {
	q.p.crowd.mu.Lock()
	defer q.p.crowd.mu.Unlock()
	q.woken = false
	if len(q.left) > 0 && !slices.ContainsFunc(q.left, func(one *pending) bool { return !one.gone }) {
		return nil, false, errGivenUp
	}
	if q.free == 0 && q.p.makesWay(q) { // be it full only since the last were gathered
		q.leaves = true
	}
	questions, ends = q.left[q.put:], q.leaves && len(q.left) > 0
	for _, one := range questions {
		one.put, one.behind = now, q.put > 0 && !ends
	}
	q.put = len(q.left)
	return questions, ends, nil
}

// drop takes a question away that nobody waits for any more, if the pipe has it. The
// lock is held.
func (q *pipe) drop(one *pending) {
	at := slices.Index(q.left, one)
	if at < 0 {
		return
	}
	if one.gone = at < q.put; !one.gone {
		q.left = slices.Delete(q.left, at, at+1)
		if !q.leaves {
			q.free++
		}
	}
	q.wake()
}

// wake has a pipe look for questions, if it waits for the host. The lock is held.
func (q *pipe) wake() {
	q.woken = true
	if q.parked {
		_ = q.s.wire.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// isDue tells whether replies will soon come: if the last of them is a yes, it waits for the
// reply to whatever is written until then. The lock is held.
func (q *pipe) isDue() bool {
	return q.put > 0 && time.Since(q.left[0].put) > q.p.cfg.learnt.pace.roundTrip()/2
}

// hasStalled tells whether the pipe had better be given nothing: it has waited for the
// host for much longer than usual, be it within a line. The lock is held.
func (q *pipe) hasStalled() bool {
	return !q.owed.IsZero() && time.Since(q.owed) > 2*q.p.cfg.learnt.pace.roundTrip()
}
