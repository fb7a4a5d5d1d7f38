package milter

import (
	"net"
	"sync"
)

// queue is the listener that go-milter's Serve accepts from: connections that were
// accepted elsewhere. Its Accept fails only when it is closed, for at an error
// Serve ends.
type queue struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newQueue() *queue {
	return &queue{conns: make(chan net.Conn), done: make(chan struct{})}
}

// put hands over a connection. It returns false if the queue is closed.
func (q *queue) put(c net.Conn) bool {
	select {
	case q.conns <- c:
		return true
	case <-q.done:
		return false
	}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends the queue.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr returns an address without meaning.
func (q *queue) Addr() net.Addr { return &net.UnixAddr{Name: "@", Net: "unix"} }
