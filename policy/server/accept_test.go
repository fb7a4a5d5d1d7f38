package server

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// acceptError is an error as package net returns it.
func acceptError(e syscall.Errno) error {
	return &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", e)}
}

func TestServeOutlivesErrorsThatPass(t *testing.T) {
	for _, e := range []error{
		acceptError(syscall.EMFILE), acceptError(syscall.ENFILE), acceptError(syscall.ECONNABORTED),
		acceptError(syscall.ENOBUFS), acceptError(syscall.EPROTO), syscall.EMFILE,
	} {
		t.Run(e.Error(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Options{})
				start := time.Now()
				for range 4 {
					b.l.next <- e
				}
				c, _ := b.connect()
				if took, want := time.Since(start), (5+10+20+40)*time.Millisecond; took != want {
					t.Errorf("4 failures held the server up for %v, want %v", took, want)
				}
				say(t, c, "hello\n")
				hear(t, c, "got hello\n")
				b.log.want(t, "cannot accept", "listener=fake:25")
				b.end()
				hearEnd(t, c)
			})
		})
	}
}

func TestAcceptPauseHasABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		for range 100 {
			b.l.next <- acceptError(syscall.EMFILE)
		}
		start := time.Now()
		c, _ := b.connect()
		if took := time.Since(start); took != lastPause {
			t.Errorf("the pause after 100 failures was %v, want %v", took, lastPause)
		}
		if n := len(b.log.lines()); n < 2 || n > 3 {
			t.Errorf("%d lines logged in a good minute and a half", n)
		}
		start = time.Now()
		b.l.next <- acceptError(syscall.EMFILE)
		b.l.next <- acceptError(syscall.EMFILE)
		if took := time.Since(start); took != firstPause {
			t.Errorf("the first pause after a success was %v, want %v", took, firstPause)
		}
		b.end()
		hearEnd(t, c)
	})
}

func TestServeReturnsTheErrorOfABrokenListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		b.l.next <- acceptError(syscall.EBADF)
		if err := <-b.ended; !errors.Is(err, syscall.EBADF) || !strings.Contains(err.Error(), "fake:25") {
			t.Errorf("Serve returned %v", err)
		}
		say(t, c, "hello\n")
		hear(t, c, "got hello\n") // what was accepted goes on
		b.ended <- nil
		b.end()
		hearEnd(t, c)
	})
}

func TestServeEndsWithItsListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		b.l.Close()
		if err := <-b.ended; err != nil {
			t.Errorf("Serve returned %v", err)
		}
		say(t, c, "hello\n")
		hear(t, c, "got hello\n")
		b.ended <- nil
		b.end()
		hearEnd(t, c)
	})
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{MaxConns: 2})
		first, _ := b.connect()
		second, _ := b.connect()
		var third net.Conn
		connected := make(chan struct{})
		go func() {
			third, _ = b.connect()
			close(connected)
		}()
		synctest.Wait()
		select {
		case <-connected:
			t.Fatal("a third connection was accepted, the limit is 2")
		default:
		}
		say(t, second, "hello\n")
		hear(t, second, "got hello\n")
		b.log.want(t, "connection limit reached", "limit=2", "face=fake")

		first.Close()
		<-connected
		say(t, third, "hello\n")
		hear(t, third, "got hello\n")
		synctest.Wait()
		b.log.want(t, "connection limit reached") // again, and not said again
		b.end()
	})
}

func TestLimitIsLoggedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{MaxConns: 1})
		for range 100 {
			c, _ := b.connect()
			synctest.Wait()
			c.Close()
		}
		b.log.want(t, "connection limit reached")
		time.Sleep(seldom) // simulated
		c, _ := b.connect()
		synctest.Wait()
		if n := len(b.log.lines()); n != 2 {
			t.Errorf("%d lines logged, want one a minute", n)
		}
		b.end()
		hearEnd(t, c)
	})
}

// A limit holds for each listener: the crowd at one door does not close the other.
func TestLimitIsOfOneListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{MaxConns: 1})
		b.connect()
		other := newFakeListener()
		ended := make(chan error, 1)
		go func() { ended <- b.s.Serve(other) }()
		client, served := net.Pipe()
		other.next <- served
		say(t, client, "hello\n")
		hear(t, client, "got hello\n")
		b.end()
		if err := <-ended; err != nil {
			t.Errorf("Serve returned %v", err)
		}
	})
}

func TestServeEndsWhateverItWaitsFor(t *testing.T) {
	for name, occupy := range map[string]func(b *bench){
		"connections": func(b *bench) {},
		"room":        func(b *bench) { b.connect() },
		"files":       func(b *bench) { b.l.next <- acceptError(syscall.EMFILE) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Options{MaxConns: 1})
				occupy(b)
				synctest.Wait()
				b.end()
			})
		})
	}
}

func TestServeAfterShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		synctest.Wait()
		b.end()
		late := newFakeListener()
		if err := b.s.Serve(late); err != nil {
			t.Errorf("Serve returned %v", err)
		}
		if _, err := late.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the listener is open: %v", err)
		}
		if err := b.s.Shutdown(context.Background()); err != nil {
			t.Errorf("a second Shutdown returned %v", err)
		}
	})
}
