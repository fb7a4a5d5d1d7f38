package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

const (
	// The pauses after failed accepts, each twice the one before, as net/http has
	// them: EMFILE returns at once, again and again, until a file is closed.
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
	// seldom is how often one and the same trouble of a listener is logged.
	seldom = time.Minute
)

// Serve accepts connections from l until l is closed or Shutdown is called, and
// then returns nil. It returns an error when l is broken for good; what has been
// accepted goes on. Errors that pass (out of files or memory, a peer that went
// away too soon) are waited for. Serve closes l. A Server serves any number of
// listeners, each with a Serve of its own.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if !s.join(l) {
		return nil
	}
	defer s.leave(l)
	a := &acceptor{s: s, l: l, slots: make(chan struct{}, s.opt.MaxConns)}
	for a.takeSlot() {
		c, err := l.Accept()
		if err == nil {
			a.failed = 0
			s.start(c, a.freeSlot)
			continue
		}
		a.freeSlot()
		switch {
		case errors.Is(err, net.ErrClosed), s.isDraining():
			return nil
		case !passing(err):
			return fmt.Errorf("accept on %v: %w", l.Addr(), err)
		case !a.pause(err):
			return nil
		}
	}
	return nil
}

// acceptor is the state of one accept loop.
type acceptor struct {
	s      *Server
	l      net.Listener
	slots  chan struct{} // one token for each connection
	failed int           // accepts in a row
	full   lastLogged
	faulty lastLogged
}

// takeSlot waits for room for one more connection, before it is accepted: those
// beyond the limit wait in the kernel's backlog and cost no file. It returns
// false if the server drains.
func (a *acceptor) takeSlot() bool {
	select {
	case a.slots <- struct{}{}:
		return true
	default:
	}
	if a.full.due() {
		a.s.log.Warn("connection limit reached, further clients wait",
			"listener", a.l.Addr().String(), "limit", cap(a.slots))
	}
	select {
	case a.slots <- struct{}{}:
		return true
	case <-a.s.drain:
		return false
	}
}

func (a *acceptor) freeSlot() { <-a.slots }

// pause waits before the next accept. It returns false if the server drains.
func (a *acceptor) pause(err error) bool {
	pause := min(firstPause<<min(a.failed, 10), lastPause)
	a.failed++
	if a.faulty.due() {
		a.s.log.Warn("cannot accept connections, trying again",
			"listener", a.l.Addr().String(), "error", err)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-a.s.drain:
		return false
	}
}

// passing tells whether a failed accept is no fault of the listener's. accept(2)
// on Linux also reports errors of the connection that it would have returned,
// and says to treat those as "try again".
func passing(err error) bool {
	var t interface{ Temporary() bool }
	if errors.As(err, &t) && t.Temporary() {
		return true // EMFILE, ENFILE, EINTR, EAGAIN
	}
	for _, e := range [...]syscall.Errno{
		syscall.ECONNABORTED, syscall.ECONNRESET,
		syscall.ENOBUFS, syscall.ENOMEM, syscall.EPERM, syscall.EPROTO, syscall.ENOPROTOOPT, syscall.EOPNOTSUPP,
		syscall.ENETDOWN, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EHOSTUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// lastLogged is when something was logged that must not fill the log.
type lastLogged time.Time

// due tells whether it may be logged again, and takes it that it is.
func (l *lastLogged) due() bool {
	now := time.Now()
	if !time.Time(*l).IsZero() && now.Sub(time.Time(*l)) < seldom {
		return false
	}
	*l = lastLogged(now)
	return true
}
