// Package server is what the faces share: above all the stream server, which
// accepts connections, runs a face's Exchange for one request after the other,
// bounds how many connections there are and how long a request may take, and
// drains. It knows no protocol. ReadLine and OneLine serve protocols made of
// lines; Reply is what a client may be told.
package server

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// Defaults of the Options.
const (
	// DefaultMaxConns is well above Postfix's default_process_limit (100): each
	// smtpd keeps a connection to a policy service.
	DefaultMaxConns = 2048
	// DefaultTimeout is below the patience of every client of Postfix's, of which
	// the shortest is milter_command_timeout, 30 s; a whole request fits in one
	// packet on the loopback.
	DefaultTimeout = 10 * time.Second
)

// ErrMalformed is wrapped by the errors of an Exchange that say: this is not our
// protocol. Where one frame is out of step all later ones are, so the connection
// is closed.
var ErrMalformed = errors.New("malformed request")

// Exchange reads one request and writes the reply to it. It is called when the
// first byte of a request is there, for one request at a time on a connection,
// concurrently on many. The Server flushes w.
//
// After an error nothing is flushed and the connection is closed: one that wraps
// ErrMalformed is a fault of the peer's, an error of r or w (which is to be
// wrapped) is the connection's end, any other is a fault of ours. A panic closes
// the connection as an error does.
//
// ctx ends when the server has to end before the request is done. The Exchange
// must then return soon.
type Exchange func(ctx context.Context, r *bufio.Reader, w *bufio.Writer) error

// Session serves a connection to its end, for a protocol that is more than a row
// of requests: it has to call Await before each, Hurry when it begins to read it,
// and Answered when the reply is written. It is
// called concurrently, once for each connection, and must return soon after the
// connection was closed, or Await or Answered said that there is no more. Its
// error, or panic, is logged as one of an Exchange is.
//
// ctx ends when the server has to end before the requests are done.
type Session func(ctx context.Context, c *Conn) error

// Options are the settings of a Server. The zero value is ready for use.
type Options struct {
	MaxConns     int           // connections at once, for each listener; 0: DefaultMaxConns
	ReadTimeout  time.Duration // for a request, from its first byte to its last; 0: DefaultTimeout
	WriteTimeout time.Duration // for each write; 0: DefaultTimeout
	Log          *slog.Logger  // nil: slog.Default()
}

// Server serves one face. Its methods may be called concurrently.
type Server struct {
	session Session
	opt     Options
	log     *slog.Logger

	ctx    context.Context // of the exchanges
	cancel context.CancelFunc
	drain  chan struct{} // closed by Shutdown

	wg sync.WaitGroup // accept loops and connections; nothing is added once draining is set

	mu        sync.Mutex
	draining  bool
	listeners map[net.Listener]struct{}
	conns     map[*Conn]struct{}
}

// New returns a Server that runs exchange; face is its name in the log.
func New(face string, exchange Exchange, opt Options) *Server {
	return NewSessions(face, exchanges(exchange), opt)
}

// NewSessions returns a Server that runs session; face is its name in the log.
func NewSessions(face string, session Session, opt Options) *Server {
	opt.MaxConns = cmp.Or(opt.MaxConns, DefaultMaxConns)
	opt.ReadTimeout = cmp.Or(opt.ReadTimeout, DefaultTimeout)
	opt.WriteTimeout = cmp.Or(opt.WriteTimeout, DefaultTimeout)
	s := &Server{
		session:   session,
		opt:       opt,
		log:       cmp.Or(opt.Log, slog.Default()).With("face", face),
		drain:     make(chan struct{}),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*Conn]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Shutdown drains the server: it closes the listeners and the idle connections
// at once, each busy connection when the reply to its request is written, and one
// that was just opened when it has had time for a request. It returns nil when all
// are gone. When ctx ends first, it ends the context of the
// exchanges, closes what is left, and returns ctx's error when that is gone.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.draining {
		s.draining = true
		close(s.drain)
	}
	for l := range s.listeners {
		l.Close()
	}
	for c := range s.conns {
		switch {
		case c.busy:
		case !c.used:
			c.SetReadDeadline(c.lastCall())
		default:
			c.Close()
		}
	}
	s.mu.Unlock()

	gone := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(gone)
	}()
	defer s.cancel()
	select {
	case <-gone:
		return ctx.Err() // that may be why they are
	case <-ctx.Done():
	}
	s.cancel()
	s.mu.Lock()
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	<-gone
	return ctx.Err()
}

// join counts in an accept loop, unless the server drains.
func (s *Server) join(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.listeners[l] = struct{}{}
	s.wg.Add(1)
	return true
}

// leave counts out what join counted in.
func (s *Server) leave(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
	s.wg.Done()
}
