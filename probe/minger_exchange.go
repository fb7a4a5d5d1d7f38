package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
)

// mingerRepeat is how long the first datagram has for its reply; each further one
// has twice the time of the one before. The draft says nothing of repetitions: a
// query changes nothing at the host, and can be put again.
const mingerRepeat = 500 * time.Millisecond

// open returns a socket that is connected to the host: the kernel gives it a
// port by chance, passes on what comes from the address and port that were asked
// only, and tells when nobody listens there. So a host of several addresses is
// silent if it answers from another one than was asked.
func (p *MingerProber) open(ctx context.Context, remote string) (net.Conn, error) {
	dial := p.cfg.dial
	if dial == nil {
		dial = p.cfg.dialer()
	}
	conn, err := dial(ctx, "udp", remote)
	if err != nil {
		return nil, fmt.Errorf("cannot be reached: %w", err)
	}
	return conn, nil
}

// exchange puts a question until it is answered, and returns the first reply
// that is about the address. It takes ReplyTimeout at most, and ends with ctx. The
// error tells what a silence says of the host: errSilent, errPassedOver or, where ctx
// has ended early, neither.
func (p *MingerProber) exchange(ctx context.Context, remote, mailbox string) (reply mingerReply, err error) {
	query, err := mingerQuery(mailbox, p.secret)
	if err != nil {
		return mingerReply{}, err
	}
	// Not before now: what is in a socket already when the question goes out
	// cannot be its answer.
	conn, err := p.open(ctx, remote)
	if err != nil {
		return mingerReply{}, err
	}
	defer conn.Close()
	defer hurry(ctx, conn)()
	e := mingerExchange{Conn: conn, mailbox: mailbox, trace: mingerTracer(ctx, p.cfg.Name)}
	_, e.digest, _ = strings.Cut(query, " d=")
	begun := time.Now()
	end := begun.Add(p.cfg.ReplyTimeout)
	for wait := mingerRepeat; ; wait *= 2 {
		until := time.Now().Add(wait)
		if until.After(end) {
			until = end
		}
		reply, err := e.put(ctx, query, until)
		switch {
		case err == nil:
			p.heard.Store(new(time.Now()))
			return reply, nil
		case ctx.Err() != nil && time.Since(begun) < p.cfg.ConnectTimeout:
			return reply, ctx.Err()
		case ctx.Err() != nil, !time.Now().Before(end):
			return reply, e.silence(p.heardSince(begun))
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return reply, err
		}
	}
}

// heardSince tells whether the host has answered anybody since then.
func (p *MingerProber) heardSince(begun time.Time) bool {
	heard := p.heard.Load()
	return heard != nil && heard.After(begun)
}

// hurry lets reading and writing fail from the end of ctx on, until the returned
// function is called.
func hurry(ctx context.Context, conn net.Conn) (done func()) {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-stopped
		}
	}
}

// mingerExchange is one question and what comes back.
type mingerExchange struct {
	net.Conn
	mailbox string // asked about
	digest  string // in the query, "": it is anonymous
	trace   func(sent bool, line string)
	sent    int    // how often it was put
	stray   string // the last datagram that was no reply to it
}

// put sends the query and waits for the reply until then. The error wraps
// os.ErrDeadlineExceeded if there was none, or if ctx ended.
func (e *mingerExchange) put(ctx context.Context, query string, until time.Time) (mingerReply, error) {
	_ = e.SetDeadline(until)
	if err := ctx.Err(); err != nil { // now that its own deadline may be undone
		return mingerReply{}, err
	}
	e.sent++
	e.show(true, query)
	if _, err := e.Write([]byte(query)); err != nil {
		return mingerReply{}, refused(err)
	}
	datagram := make([]byte, maxMingerReply+1) // what is longer is cut, and still too long
	for {
		n, err := e.Read(datagram)
		if err != nil {
			return mingerReply{}, refused(err)
		}
		e.show(false, string(datagram[:n]))
		reply, err := parseMingerReply(datagram[:n])
		if err == nil && reply.about(e.mailbox) {
			reply.status = e.hide(reply.status)
			return reply, nil
		}
		e.stray = e.hide(string(datagram[:n]))
	}
}

// show traces a datagram.
func (e *mingerExchange) show(sent bool, datagram string) {
	if e.trace != nil {
		e.trace(sent, printable(e.hide(strings.TrimRight(datagram, "\r\n\x00"))))
	}
}

// hide takes our digest out of a text: with it the secret could be guessed at
// leisure. A host may bring it back.
func (e *mingerExchange) hide(text string) string {
	if e.digest == "" {
		return text
	}
	return strings.ReplaceAll(text, e.digest, "…")
}

// silence is the error of a question that nobody answered.
func (e *mingerExchange) silence(othersAreAnswered bool) error {
	err := errSilent
	if othersAreAnswered {
		err = errPassedOver
	}
	if e.stray != "" {
		return fmt.Errorf("%w; it was asked %d times, and said %q, which is none", err, e.sent, clipped(e.stray))
	}
	return fmt.Errorf("%w; it was asked %d times", err, e.sent)
}

// refused says in words what ICMP's port unreachable means.
func refused(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no Minger server there: %w", err)
	}
	return err
}

// clipped makes what a host said fit for a log: printable, and not long.
func clipped(s string) string {
	const enough = maxMingerReply / 2
	if len(s) > enough {
		s = s[:enough] + "…"
	}
	return printable(s)
}

func mingerTracer(ctx context.Context, host string) func(bool, string) {
	t, ok := ctx.Value(traceKey{}).(Trace)
	if !ok {
		return nil
	}
	return func(sent bool, line string) { t(host, sent, line) }
}
