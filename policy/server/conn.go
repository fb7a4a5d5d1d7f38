package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"syscall"
	"time"
)

// maxIdle is three times as long as Postfix itself keeps an idle connection
// (smtpd_policy_service_max_idle, 300 s).
const maxIdle = 15 * time.Minute

// courtesy is how long a client that has just connected has to begin its first
// request, though the server drains: it has been let in, and nobody has told it
// anything yet. Of a connection that was of use once Postfix knows that it may be
// closed meanwhile, and puts its request again on another.
const courtesy = time.Second

// Conn is one connection of a client's. A Session reads from it and writes to it
// in one goroutine, and tells by Await and Answered where requests begin and end.
// Each write has a deadline of its own. Close may be called concurrently.
type Conn struct {
	net.Conn
	s       *Server
	begun   time.Time // when it was accepted
	used    bool      // a request was begun; Server.mu
	busy    bool      // between the first byte of a request and the end of its reply; Server.mu
	patient time.Time // until when a silent client is waited for, if that is what the read deadline says
}

// start serves a connection in a goroutine of its own, and calls done when it is
// closed.
func (s *Server) start(nc net.Conn, done func()) {
	c := &Conn{Conn: nc, s: s, begun: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	s.wg.Go(func() {
		defer done()
		defer s.forget(c)
		if err := c.run(s.session); err != nil {
			c.complain(err)
		}
	})
}

func (s *Server) forget(c *Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// begin notes that a request is under way. It returns false if the server drains:
// then only the first one of a connection is begun.
func (c *Conn) begin() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	first := !c.used
	c.busy, c.used = true, true
	return first || !c.s.draining
}

// wait lets reads fail from then on, or when the server does not wait that long.
func (c *Conn) wait(until time.Time) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.patient = until
	if c.s.draining {
		until = c.lastCall()
	}
	c.SetReadDeadline(until)
}

// lastCall is until when a server that drains waits for the first request.
func (c *Conn) lastCall() time.Time { return c.begun.Add(courtesy) }

// Await waits, between requests, for the first byte of one, which r, a reader of
// c, then has; see Hurry. idle is how long the client may be silent, to within an
// eighth. It returns false if there is no further request: the client has left or
// was silent for too long, or the server drains.
func (c *Conn) Await(r *bufio.Reader, idle time.Duration) bool {
	// A deadline costs as much as all the rest here: one that will do is left.
	if now := time.Now(); c.patient.Sub(now) < idle-idle/8 {
		c.wait(now.Add(idle))
	}
	if _, err := r.Peek(1); err != nil {
		if err != io.EOF && !c.s.isDraining() {
			c.log(slog.LevelDebug, "client is gone", err)
		}
		return false
	}
	return c.begin()
}

// Hurry gives the client the ReadTimeout for what is yet to come of a request. Who
// finds that all of it is there need not call it.
func (c *Conn) Hurry() {
	c.patient = time.Time{}
	c.SetReadDeadline(time.Now().Add(c.s.opt.ReadTimeout))
}

// Answered says that the reply to a request is written. It returns false if the
// server drains: then none follows.
func (c *Conn) Answered() bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.busy = false
	return !c.s.draining
}

// exchanges returns the Session that answers requests by exchange until the client
// leaves, breaks the protocol, or the server drains. Requests that come in one
// packet wait in the buffer.
func exchanges(exchange Exchange) Session {
	return func(ctx context.Context, c *Conn) error {
		r := bufio.NewReader(c)
		w := bufio.NewWriter(c)
		// An idle client may stay: Postfix keeps connections for minutes, and
		// finds out that one was closed only when it needs it. It may not stay for
		// ever, or silent connections would shut the door.
		for c.Await(r, maxIdle) {
			c.Hurry()
			if err := exchange(ctx, r, w); err != nil {
				return err
			}
			if err := w.Flush(); err != nil {
				return err
			}
			if !c.Answered() {
				break
			}
		}
		return nil
	}
}

// Write gives each write a deadline of its own: a client that does not read its
// reply holds nothing but its connection, and that not for long.
func (c *Conn) Write(b []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.s.opt.WriteTimeout))
	return c.Conn.Write(b)
}

// fault is a panic of the face's.
type fault struct {
	cause any
	stack []byte
}

func (f *fault) Error() string { return fmt.Sprintf("panic: %v", f.cause) }

// run runs a session. One client's request that upsets it must not end the service
// for all.
func (c *Conn) run(session Session) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &fault{p, debug.Stack()}
		}
	}()
	return session(c.s.ctx, c)
}

// complain logs why a connection is closed in the middle of a request. The
// client gets no reply, which Postfix takes as "try again" (SMTPD_POLICY_README,
// socketmap_table(5), tcp_table(5)).
func (c *Conn) complain(err error) {
	var f *fault
	switch {
	case errors.As(err, &f):
		c.log(slog.LevelError, "no reply: fault in postwhere", err, "stack", string(f.stack))
	case errors.Is(err, ErrMalformed):
		c.log(slog.LevelWarn, "connection closed", err)
	case c.s.ctx.Err() != nil:
		c.log(slog.LevelWarn, "no reply: shutdown could not wait any longer", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.log(slog.LevelWarn, "connection closed: client too slow", err)
	case isHangup(err):
		c.log(slog.LevelInfo, "client left in the middle of a request", err)
	default:
		c.log(slog.LevelError, "no reply", err)
	}
}

// isHangup tells whether an error is one of a connection that the peer ended.
// An EOF here is not one between requests.
func isHangup(err error) bool {
	for _, e := range [...]error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func (c *Conn) log(level slog.Level, msg string, err error, more ...any) {
	c.s.log.Log(context.Background(), level, msg, append([]any{"peer", c.peer(), "reason", err.Error()}, more...)...)
}

// peer names the client: by its address, or, where clients of a Unix-domain
// socket have none, by that of the socket.
func (c *Conn) peer() string {
	if a := c.RemoteAddr().String(); a != "" && a != "@" {
		return a
	}
	return c.LocalAddr().String()
}
