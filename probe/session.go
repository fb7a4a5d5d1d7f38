package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"postwhere/policy"
)

// How long a connection is kept. What a host says over it is as old as the
// connection: Postfix reads its tables when a session begins.
const (
	maxIdle  = 30 * time.Second
	maxAge   = time.Minute
	quitTime = 2 * time.Second
	// staleIdle is how long a connection has to rest before its end says nothing of
	// how much it has been used for (Postfix under stress: smtpd_timeout 10 s).
	staleIdle = 3 * time.Second
)

// session is a dialogue with a host over one connection. It is used by one
// goroutine at a time.
type session struct {
	cfg      *Config
	wire     *wire
	client   *smtp.Client
	greeting string // without what changes from one to the next
	born     time.Time
	speaker  *speaker
	trip     time.Duration // what it took to connect: no reply is there sooner

	utf8, pipelining bool // what the host offers: SMTPUTF8, PIPELINING

	used     used
	heard    time.Time // when it last said something
	answered int       // questions to which it said something, or hung up
	mail     bool      // a MAIL transaction is open
	mailUTF8 bool      // it was opened with SMTPUTF8
	quit     bool      // QUIT was said
	kept     bool      // it was opened for an earlier question
	spoilt   bool      // not to be kept any more
	over     error     // why nothing more can be asked, nil: it can
	ended    func()    // is told when the connection is no more
}

// errUsedUp: the question was not put; another connection can carry it.
var errUsedUp = errors.New("the connection is used up")

// errNoUTF8: the address needs SMTPUTF8 (RFC 6531), which the host lacks.
var errNoUTF8 = errors.New("the host does not offer SMTPUTF8, which this address needs")

// refusedSender: MAIL FROM was refused, which says nothing of the recipient.
type refusedSender struct{ reply policy.Reply }

func (e refusedSender) Error() string {
	return fmt.Sprintf("the probe's MAIL FROM was refused: %s", e.reply)
}

// ask puts a question and returns the reply to it. After an error, or a reply
// that is about the connection, nothing more can be asked. address is in the form
// of the dialogue, and cannot break it.
func (s *session) ask(ctx context.Context, method Method, address string) (policy.Reply, error) {
	if s.over != nil {
		return policy.Reply{}, s.over
	}
	began := time.Now()
	reply, err := s.put(ctx, method, address)
	if errors.Is(err, errNoUTF8) || errors.Is(err, errUsedUp) {
		return reply, err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) && !isOver(ctx) {
		s.cfg.learnt.silence.note(began)
	}
	s.learn(method, reply, err, began, s.asked() <= 2)
	return reply, err
}

// learn notes what the reply to a question says of the connection, and of what
// the host's connections bear. began is when it was waited for; with usual it tells
// how long the host usually takes. learn returns whether the reply was held back.
func (s *session) learn(method Method, reply policy.Reply, err error, began time.Time, usual bool) (late bool) {
	now := time.Now()
	idle := began.Sub(s.heard)
	s.heard = now
	s.answered++
	if reply.Code/100 == 5 {
		s.used.refusals++
	}
	s.over = err
	if wearsOut(reply) {
		s.over = fmt.Errorf("%w: it said %q", errUsedUp, reply)
	}
	late = err == nil && s.cfg.learnt.pace.note(now.Sub(began), reply.Code/100 == 5, usual)
	if late || s.over != nil && s.answered > 1 && idle < staleIdle && (err == nil || isEnd(err)) {
		s.cfg.learnt.budget.wore(method, s.used, now)
	}
	s.spoilt = s.spoilt || late || s.over != nil || reply.Code/100 == 4
	return late
}

func (s *session) put(ctx context.Context, method Method, address string) (policy.Reply, error) {
	parameter := ""
	if !isASCII(address) {
		if !s.utf8 {
			return policy.Reply{}, errNoUTF8
		}
		parameter = " SMTPUTF8"
	}
	if s.mail && method == RCPT && parameter != "" && !s.mailUTF8 {
		return policy.Reply{}, errUsedUp // the transaction takes no such recipient
	}
	if method == VRFY {
		s.used.vrfys++
		return s.command(ctx, "VRFY "+address+parameter)
	}
	if !s.mail {
		reply, err := s.command(ctx, "MAIL FROM:<"+s.cfg.Sender+">"+parameter)
		if err == nil && reply.Code/100 == 5 && s.cfg.Sender == "" && s.cfg.SecondSender != "" {
			// Microsoft 365 and others refuse the null sender to whom they do not know.
			reply, err = s.command(ctx, "MAIL FROM:<"+s.cfg.SecondSender+">"+parameter)
		}
		if err != nil {
			return reply, err
		}
		if reply.Code/100 != 2 {
			return policy.Reply{}, refusedSender{reply}
		}
		s.mail, s.mailUTF8 = true, parameter != ""
	}
	s.used.rcpts++
	return s.command(ctx, "RCPT TO:<"+address+">")
}

// command sends a line and reads the whole reply to it. One that is there sooner than it
// could be is the reply if the host says nothing more until it could.
func (s *session) command(ctx context.Context, line string) (policy.Reply, error) {
	defer s.wire.within(ctx, s.cfg.ReplyTimeout)()
	put := time.Now()
	reply, err := s.wire.command(line)
	usual := s.cfg.learnt.pace.roundTrip()
	due := put.Add(min(s.trip, usual))
	if err == nil && usual >= far && time.Now().Before(due) && !s.wire.isQuiet(ctx, due.Add(usual/quietPart)) {
		return policy.Reply{}, errOutOfStep
	}
	return reply, err
}

// fits tells whether the session can carry a question about the address: a MAIL
// transaction without SMTPUTF8 cannot take a recipient that needs it.
func (s *session) fits(a policy.Address) bool { return !s.mail || s.mailUTF8 || a.IsASCII() }

// asked is how many questions the session has carried.
func (s *session) asked() int { return s.used.vrfys + s.used.rcpts }

// room tells whether the session can carry so many more questions.
func (s *session) room(method Method, questions int) bool {
	return s.over == nil && s.cfg.learnt.budget.left(method, s.used) >= questions
}

// first tells whether the last question was the first that the connection
// carried, and that soon after it was opened: what went wrong with it is then no
// matter of the connection's wear.
func (s *session) first() bool { return !s.kept && s.asked() <= 1 }

// spent tells whether the session has done what one connection may be used for.
func (s *session) spent() bool {
	return s.spoilt || !s.room(VRFY, 1) || s.aged()
}

// aged tells whether what the host says over the connection is too old.
func (s *session) aged() bool { return s.cfg.isTooOld(s.born) }

// isTooOld tells whether what the host says over a connection that was opened then is: it may
// not have looked since, and other mailboxes may be there now.
func (c *Config) isTooOld(born time.Time) bool {
	return time.Since(born) >= c.MostAge || c.learnt.testimony.hasTurned(born)
}

// lasted has it known what the session has borne, at its end.
func (s *session) lasted() {
	if !s.spoilt {
		s.cfg.learnt.budget.lasted(s.used, time.Now())
	}
}

// leave says QUIT, and nothing more. What the host says to it is heard by end, for
// quitTime at most and not beyond ctx, which nobody looks at after done.
func (s *session) leave(ctx context.Context) (done func()) {
	s.wire.trace = nil
	done = s.wire.within(ctx, quitTime)
	if !s.quit {
		s.quit = true
		if _, err := s.wire.Conn.Write([]byte("QUIT\r\n")); err != nil {
			s.spoilt = true
		}
	}
	if half, ok := s.wire.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // Exim waits 200 ms for this before it says farewell
	}
	return done
}

// hearsFarewell tells whether what the host has said next is the reply to our QUIT.
func (s *session) hearsFarewell() bool {
	if !s.quit {
		return false
	}
	_ = s.wire.Conn.SetReadDeadline(time.Now().Add(s.cfg.ReplyTimeout)) // it may come in pieces
	reply, err := readReply(s.wire.in)
	return err == nil && reply.Code == 221
}

// end hears the host's farewell and closes the connection. Of a session that ended
// in discord it hears all that is still said, until the host has hung up: to the host
// it is a connection as long as that. One that has fallen silent is not waited for.
func (s *session) end() {
	defer func() {
		_ = s.wire.Conn.Close()
		if s.ended != nil {
			s.ended()
			s.ended = nil
		}
	}()
	switch {
	case !s.spoilt:
		_, _ = readReply(s.wire.in)
	case !errors.Is(s.over, os.ErrDeadlineExceeded):
		_, _ = io.Copy(io.Discard, s.wire.Conn)
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
