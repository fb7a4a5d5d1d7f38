// Package milter is the face that smtpd_milters asks: it judges each recipient of
// a message while the client waits for the reply to RCPT TO, over the protocol of
// Sendmail's mail filters, which go-milter speaks.
//
// Nothing here judges a message. A recipient is let in by "continue", or refused by
// a reply of his own; never by "accept" or "skip", after which an MTA does not show
// the next recipients (src/milter/milter8.c in Postfix).
package milter

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"sync"

	gomilter "github.com/d--j/go-milter"

	"postwhere/policy"
	"postwhere/policy/server"
)

// Searcher finds the host of a recipient's mailbox. Its error is postwhere's own
// fault: there is no verdict then.
type Searcher interface {
	Search(ctx context.Context, r policy.Request) (policy.Finding, error)
}

// Options are the settings of a Server. The zero value is ready for use.
type Options struct {
	server.Options
	// TraceHeader returns the name of a header that says, at the end of a message,
	// which host owns each of its recipients; "": there is none. It is called when
	// a connection begins, concurrently. nil: there is none.
	TraceHeader func() string
}

// Server serves the milter protocol. Its methods may be called concurrently.
type Server struct {
	*face
	stream *server.Server // accepts, counts and ends connections
	lib    *gomilter.Server
	queue  *queue         // of those that go from the one to the other
	lends  sync.WaitGroup // lib's only goroutine that is not a connection's

	mu           sync.Mutex
	begun, ended bool // lends is under way; it must not begin any more
}

// face is what all connections share.
type face struct {
	searcher Searcher
	header   func() string
	log      *slog.Logger
	ctx      context.Context // of the searches' askers
	cancel   context.CancelFunc
}

// New returns a Server that asks s.
func New(s Searcher, opt Options) *Server {
	silenceLibrary()
	f := &face{searcher: s, header: opt.TraceHeader, log: cmp.Or(opt.Log, slog.Default()).With("face", "milter")}
	if f.header == nil {
		f.header = func() string { return "" }
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	m := &Server{face: f, lib: gomilter.NewServer(f.options()...), queue: newQueue()}
	m.stream = server.NewSessions("milter", m.lend, opt.Options)
	return m
}

// Serve accepts connections from l until l is closed or Shutdown is called, and
// then returns nil, as server.Server's Serve does.
func (m *Server) Serve(l net.Listener) error {
	m.mu.Lock()
	if !m.begun && !m.ended {
		m.begun = true
		m.lends.Go(func() { _ = m.lib.Serve(m.queue) }) // ends with the queue
	}
	m.mu.Unlock()
	return m.stream.Serve(l)
}

// Shutdown drains the server: it closes the listeners and the connections on which
// nothing is asked, at once, and each other when the reply is written. To an MTA a
// session whose connection is closed is one with a filter that failed; Postfix does
// then what milter_default_action says. Shutdown returns nil when all are gone; when
// ctx ends first, it closes what is left, and returns ctx's error.
func (m *Server) Shutdown(ctx context.Context) error {
	defer m.cancel()
	defer context.AfterFunc(ctx, m.cancel)()
	err := m.stream.Shutdown(ctx)
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	_ = m.queue.Close()
	_ = m.lib.Close()
	m.lends.Wait()
	return err
}

// lend gives a connection to the library, and returns when that has closed it.
func (m *Server) lend(_ context.Context, c *server.Conn) error {
	w := newWire(c)
	if !m.queue.put(w) {
		return nil
	}
	<-w.closed
	return w.fault
}
