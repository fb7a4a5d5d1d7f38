package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/puddle/v2"

	"postwhere/policy"
)

// pipe carries the questions of many askers over one connection to a host that is
// far away: RCPT TO of one MAIL transaction, put without waiting for the replies
// (PIPELINING, RFC 2920). So each takes one round trip, however many there are.
// A reply is known by its place. That is relied on only where a refusal repeats
// the address: one about another address shows that the stream is out of step. A
// yes, which repeats nothing, is handed on when what follows has shown that it is.
type pipe struct {
	p    *Prober
	held *puddle.Resource[*session]
	s    *session
	// greeting is the session's. The session itself belongs to others once the
	// pipe is over, while some may still look at the pipe.
	greeting string

	mu   sync.Mutex
	put  []*pending // without a reply yet, in order
	kept []kept     // accepted, but not yet known to be in step
	over bool       // takes no more questions
}

// kept is a reply that says yes. It names no address: only what follows shows that
// no reply was lost before it, a refusal in its place or the end of the questions.
type kept struct {
	one   *pending
	reply policy.Reply
}

// pending is a command that waits for its reply.
type pending struct {
	address string // "": MAIL
	began   time.Time
	reply   chan pipeReply
}

type pipeReply struct {
	reply policy.Reply
	at    time.Time // what the host says is as old as the connection
	err   error
}

// crowded tells whether questions are better put together: the host is far away
// and more are asking than it has connections to spare. Where the questions have
// a rate there is nothing to be gained.
func (p *Prober) crowded(a policy.Address) bool {
	if until := p.pipesRest.Load(); until != nil && time.Now().Before(*until) {
		return false
	}
	return p.rate == nil && int(p.asking.Load()) > max(p.cfg.Connections/2, 1) && a.IsASCII() &&
		p.cfg.Method != VRFY && p.cfg.learnt.pace.isFar()
}

// pipeRest is how long a host is left in peace that holds accepted recipients back.
const pipeRest = time.Minute

// restPipes keeps questions out of pipes for a while: one by one they do better.
// An accepted RCPT begins a
// message: Postfix has some 100 of those to spare, each transaction takes one
// until real mail gives it back, and then each further one waits 1 s
// (in_flow_delay). VRFY costs nothing.
func (p *Prober) restPipes() {
	until := time.Now().Add(pipeRest)
	p.pipesRest.Store(&until)
}

// askInPipe puts a question through a pipe. It tells whether there was one, and
// whether it held.
func (p *Prober) askInPipe(ctx context.Context, a policy.Address) (policy.Answer, bool) {
	answer := policy.Answer{Host: p.cfg.Name, Method: RCPT.String(), At: time.Now()}
	c, k, waiting := p.findPipe(ctx, a)
	if waiting == nil {
		return answer, false
	}
	select {
	case r := <-waiting:
		if r.err != nil {
			return answer, false
		}
		m := question{method: RCPT, address: a.String(), calibration: c}.read(r.reply)
		answer.Reply, answer.Says, answer.Weak, answer.Took = r.reply, m.says, m.weak, time.Since(answer.At)
		switch m.says {
		case policy.Yes:
			p.calibrations.sawAcceptance(k, a.String())
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
	case <-ctx.Done():
		return policy.UnsureOf(p.cfg.Name, "no answer in time"), true
	}
}

// findPipe puts the question into a pipe that has room for it, or into a new one,
// and returns where its reply will be; nil if the host cannot be asked so.
func (p *Prober) findPipe(ctx context.Context, a policy.Address) (Calibration, calibrationKey, <-chan pipeReply) {
	p.mu.Lock()
	open := slices.Clone(p.pipes)
	p.mu.Unlock()
	for _, q := range open {
		if c, k, ok := p.pipeable(q.greeting, a.Domain()); ok {
			if waiting := q.ask(a.String()); waiting != nil {
				return c, k, waiting
			}
		}
	}
	held, err := p.acquire(ctx, a, false)
	if err != nil {
		return Calibration{}, calibrationKey{}, nil
	}
	if _, _, err := p.calibrate(ctx, held.Value(), RCPT, a.Domain()); err != nil {
		p.release(held)
		return Calibration{}, calibrationKey{}, nil
	}
	c, k, ok := p.pipeable(held.Value().greeting, a.Domain())
	if !ok || !held.Value().pipelining {
		p.release(held)
		return c, k, nil
	}
	q := &pipe{p: p, held: held, s: held.Value(), greeting: held.Value().greeting}
	waiting := q.ask(a.String())
	if waiting == nil {
		p.release(held)
		return c, k, nil
	}
	p.mu.Lock()
	p.pipes = append(p.pipes, q)
	p.mu.Unlock()
	p.helpers.Go(q.read)
	p.warmUp()
	return c, k, waiting
}

// pipeable tells whether the host of that greeting tells by RCPT, and repeats the
// address in its refusals, as far as that is known already.
func (p *Prober) pipeable(greeting, domain string) (Calibration, calibrationKey, bool) {
	k := calibrationKey{domain: domain, greeting: greeting, method: RCPT}
	c, ok := p.calibrations.peek(k)
	return c, k, ok && c.Tells && mentions(c.Refusal, c.Nonsense)
}

// mentions tells whether a reply repeats an address.
func mentions(r policy.Reply, address string) bool {
	return strings.Contains(strings.ToLower(r.Text), strings.ToLower(address))
}

// ask puts a question, and returns where its reply will be; nil if the pipe has
// no room for it.
func (q *pipe) ask(address string) <-chan pipeReply {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over || time.Since(q.s.born) > maxAge {
		return nil
	}
	// Each question that waits for its reply may be refused.
	expected := q.s.used
	expected.refusals += len(q.put)
	if q.s.over != nil || q.s.cfg.learnt.budget.left(RCPT, expected) < 1 {
		return nil
	}
	now := time.Now()
	lines := "RCPT TO:<" + address + ">\r\n"
	if !q.s.mail {
		lines = "MAIL FROM:<" + q.s.cfg.Sender + ">\r\n" + lines
		q.put = append(q.put, &pending{began: now})
		q.s.mail = true
	}
	one := &pending{address: address, began: now, reply: make(chan pipeReply, 1)}
	q.put = append(q.put, one)
	q.s.used.rcpts++
	_ = q.s.wire.Conn.SetDeadline(now.Add(q.s.cfg.ReplyTimeout))
	if _, err := q.s.wire.Conn.Write([]byte(lines)); err != nil {
		q.fail(err)
	}
	return one.reply
}

// read takes the replies, and ends with the last question.
func (q *pipe) read() {
	for q.next() {
	}
	q.p.mu.Lock()
	q.p.pipes = slices.DeleteFunc(q.p.pipes, func(other *pipe) bool { return other == q })
	q.p.mu.Unlock()
	q.p.release(q.held)
}

// errPiped: a reply in the pipe was about another address.
var errPiped = fmt.Errorf("%w: a reply about another address", errOutOfStep)

// next takes one reply, and tells whether there is another question.
func (q *pipe) next() bool {
	reply, err := readReply(q.s.wire.in)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.over { // writing has failed
		return false
	}
	if err != nil {
		q.fail(err)
		return false
	}
	one := q.put[0]
	q.put = q.put[1:]
	switch {
	case one.address == "":
		if reply.Code/100 != 2 {
			q.p.restPipes() // one by one, another sender may be tried
			q.fail(refusedSender{reply})
			return false
		}
	case reply.Code/100 == 5 && !mentions(reply, one.address):
		q.put = append([]*pending{one}, q.put...)
		q.fail(errPiped)
		return false
	default:
		q.s.learn(RCPT, reply, nil, one.began)
		if reply.Code/100 == 2 && time.Since(one.began) > heldBack {
			q.p.restPipes()
		}
		if q.s.over != nil {
			q.put = append([]*pending{one}, q.put...)
			q.fail(q.s.over)
			return false
		}
		q.kept = append(q.kept, kept{one, reply})
		if reply.Code/100 == 5 {
			q.hand()
		}
	}
	if len(q.put) > 0 {
		_ = q.s.wire.Conn.SetDeadline(time.Now().Add(q.s.cfg.ReplyTimeout))
		return true
	}
	if errors.Is(q.s.wire.inStep(), errOutOfStep) {
		q.fail(errOutOfStep)
		return false
	}
	q.over = true
	q.hand()
	return false
}

// hand gives the replies that are known to be in step to who waits for them. The
// lock is held.
func (q *pipe) hand() {
	for _, k := range q.kept {
		k.one.reply <- pipeReply{reply: k.reply, at: q.s.born}
	}
	q.kept = nil
}

// fail ends the pipe: the questions in it are put in another way. The lock is held.
func (q *pipe) fail(err error) {
	q.over = true
	q.s.over, q.s.spoilt = err, true
	for _, k := range q.kept {
		q.put = append(q.put, k.one)
	}
	for _, one := range q.put {
		if one.reply != nil {
			one.reply <- pipeReply{err: err}
		}
	}
	q.put, q.kept = nil, nil
}
