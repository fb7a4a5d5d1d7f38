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

// conn is one connection of a client's.
type conn struct {
	net.Conn
	s    *Server
	busy bool // between the first byte of a request and the end of its reply; Server.mu
}

// start serves a connection in a goroutine of its own, unless the server drains,
// and calls done when it is closed.
func (s *Server) start(nc net.Conn, done func()) {
	c := &conn{Conn: nc, s: s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		nc.Close()
		done()
		return
	}
	s.conns[c] = struct{}{}
	s.wg.Go(func() {
		defer done()
		defer s.forget(c)
		c.serve()
	})
}

func (s *Server) forget(c *conn) {
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

// setBusy notes whether a request is under way. It returns false if the server
// drains: then no request is begun, and none follows.
func (c *conn) setBusy(busy bool) bool {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.busy = busy
	return !c.s.draining
}

// serve answers requests until the client leaves, breaks the protocol, or the
// server drains. Requests that come in one packet wait in the buffer.
func (c *conn) serve() {
	r := bufio.NewReader(c)
	w := bufio.NewWriter(c)
	for {
		// An idle client may stay: Postfix keeps connections for minutes, and
		// finds out that one was closed only when it needs it. It may not stay for
		// ever, or silent connections would shut the door.
		c.SetReadDeadline(time.Now().Add(maxIdle))
		if _, err := r.Peek(1); err != nil {
			if err != io.EOF && !c.s.isDraining() {
				c.log(slog.LevelDebug, "client is gone", err)
			}
			return
		}
		if !c.setBusy(true) {
			return
		}
		c.SetReadDeadline(time.Now().Add(c.s.opt.ReadTimeout))
		err := c.exchange(r, w)
		if err == nil {
			err = w.Flush()
		}
		if err != nil {
			c.complain(err)
			return
		}
		if !c.setBusy(false) {
			return
		}
	}
}

// Write gives each write a deadline of its own: a client that does not read its
// reply holds nothing but its connection, and that not for long.
func (c *conn) Write(b []byte) (int, error) {
	c.SetWriteDeadline(time.Now().Add(c.s.opt.WriteTimeout))
	return c.Conn.Write(b)
}

// fault is a panic of the face's.
type fault struct {
	cause any
	stack []byte
}

func (f *fault) Error() string { return fmt.Sprintf("panic: %v", f.cause) }

// exchange runs the face's function. One client's request that upsets it must
// not end the service for all.
func (c *conn) exchange(r *bufio.Reader, w *bufio.Writer) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &fault{p, debug.Stack()}
		}
	}()
	return c.s.exchange(c.s.ctx, r, w)
}

// complain logs why a connection is closed in the middle of a request. The
// client gets no reply, which Postfix takes as "try again" (SMTPD_POLICY_README,
// socketmap_table(5), tcp_table(5)).
func (c *conn) complain(err error) {
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

func (c *conn) log(level slog.Level, msg string, err error, more ...any) {
	c.s.log.Log(context.Background(), level, msg, append([]any{"peer", c.peer(), "reason", err.Error()}, more...)...)
}

// peer names the client: by its address, or, where clients of a Unix-domain
// socket have none, by that of the socket.
func (c *conn) peer() string {
	if a := c.RemoteAddr().String(); a != "" && a != "@" {
		return a
	}
	return c.LocalAddr().String()
}
