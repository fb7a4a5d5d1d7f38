package shared

import (
	"context"
	"fmt"
	"net"
	"syscall"
)

// rubbishError is why what answers is no server, or has gone mad. It wraps nothing, since the
// library unwraps what a connection begins with.
type rubbishError string

func (e rubbishError) Error() string { return "the server's answer is no answer: " + string(e) }

func rubbishf(format string, args ...any) error {
	return rubbishError(fmt.Sprintf(format, args...))
}

// guarded is a connection to a server that ends with a rubbishError where an answer is none.
type guarded struct {
	net.Conn
	meter meter
	err   error
}

func (g *guarded) Read(p []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.Conn.Read(p)
	if n, g.err = g.meter.pass(p[:n]); g.err != nil {
		return n, g.err
	}
	return n, err
}

// guardedSocket has the library find out whether the server has closed it.
type guardedSocket struct {
	*guarded
	syscall.Conn
}

// guard returns a connection guarded.
func guard(conn net.Conn) net.Conn {
	g := &guarded{Conn: conn}
	if socket, ok := conn.(syscall.Conn); ok { // one with TLS is none
		return guardedSocket{g, socket}
	}
	return g
}

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// guardedBy returns a dialer of guarded connections.
func guardedBy(dial dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return guard(conn), nil
	}
}
