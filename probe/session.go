package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"postwhere/policy"
)

// What one connection is used for before it is given up. Each no is an error to
// the host: Postfix answers slower after 10 of them and hangs up after 20,
// Sendmail slows down from the 6th VRFY, Exim ends at the 11th. These are borne
// by every host known.
const (
	budgetVRFY = 5
	budgetRCPT = 8 // with the VRFYs: they count alike where refusals are counted
	maxIdle    = 30 * time.Second
	maxAge     = 5 * time.Minute
	quitTime   = 2 * time.Second
)

// session is a dialogue with a host over one connection. It is used by one
// goroutine at a time.
type session struct {
	cfg      *Config
	wire     *wire
	client   *smtp.Client
	greeting string // without what changes from one to the next
	utf8     bool   // SMTPUTF8 is offered
	born     time.Time

	vrfys, rcpts int
	mail         bool  // a MAIL transaction is open
	mailUTF8     bool  // it was opened with SMTPUTF8
	kept         bool  // it was opened for an earlier question
	spoilt       bool  // not to be kept any more
	over         error // why nothing more can be asked, nil: it can
}

// errGreeting: the host would not talk to us at all.
var errGreeting = errors.New("the host refuses us")

// errUsedUp: the question was not put; another connection can carry it.
var errUsedUp = errors.New("the connection is used up")

// dial connects to the host and introduces us. The error tells how far it came.
func dial(ctx context.Context, cfg *Config, trace func(bool, string)) (*session, error) {
	open := cfg.dial
	if open == nil {
		open = (&net.Dialer{Timeout: cfg.ConnectTimeout}).DialContext
	}
	conn, err := open(ctx, cfg.Endpoint.Network, cfg.Endpoint.Address)
	if err != nil {
		return nil, err
	}
	s := &session{cfg: cfg, wire: newWire(conn), born: time.Now()}
	s.wire.trace = trace
	defer s.wire.within(ctx, cfg.ReplyTimeout)()
	if cfg.Endpoint.LMTP {
		s.client = smtp.NewClientLMTP(s.wire)
	} else {
		s.client = smtp.NewClient(s.wire)
	}
	if err := s.client.Hello(cfg.Helo); err != nil {
		_ = conn.Close()
		var said *smtp.SMTPError
		if errors.As(err, &said) {
			return nil, fmt.Errorf("%w: %s", errGreeting, printable(said.Error()))
		}
		if isEnd(err) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, errOutOfStep) {
			return nil, fmt.Errorf("no greeting: %w", err)
		}
		return nil, fmt.Errorf("no greeting: %s", printable(err.Error()))
	}
	s.greeting = steadyGreeting(s.wire.greeting)
	s.utf8, _ = s.client.Extension("SMTPUTF8")
	return s, nil
}

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
	switch {
	case s.over != nil:
		return policy.Reply{}, s.over
	case !s.room(method, 1):
		return policy.Reply{}, errUsedUp
	}
	reply, err := s.put(ctx, method, address)
	if errors.Is(err, errNoUTF8) || errors.Is(err, errUsedUp) {
		return reply, err
	}
	s.over = err
	if wearsOut(reply) {
		s.over = fmt.Errorf("%w: it said %q", errUsedUp, reply)
	}
	s.spoilt = s.spoilt || s.over != nil || reply.Code/100 == 4
	return reply, err
}

func (s *session) put(ctx context.Context, method Method, address string) (policy.Reply, error) {
	defer s.wire.within(ctx, s.cfg.ReplyTimeout)()
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
		s.vrfys++
		return s.wire.command("VRFY " + address + parameter)
	}
	if !s.mail {
		reply, err := s.wire.command("MAIL FROM:<" + s.cfg.Sender + ">" + parameter)
		if err != nil {
			return reply, err
		}
		if reply.Code/100 != 2 {
			return policy.Reply{}, refusedSender{reply}
		}
		s.mail, s.mailUTF8 = true, parameter != ""
	}
	s.rcpts++
	return s.wire.command("RCPT TO:<" + address + ">")
}

// fits tells whether the session can carry a question about the address: a MAIL
// transaction without SMTPUTF8 cannot take a recipient that needs it.
func (s *session) fits(a policy.Address) bool { return !s.mail || s.mailUTF8 || a.IsASCII() }

// asked is how many questions the session has carried.
func (s *session) asked() int { return s.vrfys + s.rcpts }

// room tells whether the session can carry so many more questions.
func (s *session) room(method Method, questions int) bool {
	return s.over == nil && s.asked()+questions <= budgetRCPT &&
		(method != VRFY || s.vrfys+questions <= budgetVRFY)
}

// first tells whether the last question was the first that the connection
// carried, and that soon after it was opened: what went wrong with it is then no
// matter of the connection's wear.
func (s *session) first() bool { return !s.kept && s.asked() <= 1 }

// spent tells whether the session has done what one connection may be used for.
func (s *session) spent() bool {
	return s.spoilt || !s.room(VRFY, 1) || time.Since(s.born) > maxAge
}

// quit ends the session politely, or soon.
func (s *session) quit() {
	if s.spoilt {
		_ = s.wire.Conn.SetDeadline(time.Now().Add(quitTime / 4))
		_, _ = s.wire.Conn.Write([]byte("QUIT\r\n"))
		_ = s.wire.Conn.Close()
		return
	}
	s.wire.trace = nil
	_ = s.wire.Conn.SetDeadline(time.Now().Add(quitTime))
	if s.client.Quit() != nil {
		_ = s.wire.Conn.Close()
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
