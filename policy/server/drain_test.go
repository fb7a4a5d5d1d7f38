package server

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestShutdownClosesIdleConnectionsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		fresh, _ := b.connect()
		used, _ := b.connect()
		say(t, used, "hello\n")
		hear(t, used, "got hello\n")
		synctest.Wait()
		b.end()
		hearEnd(t, fresh)
		hearEnd(t, used)
		if l := b.log.lines(); len(l) > 0 {
			t.Errorf("logged %q", l)
		}
	})
}

func TestShutdownWaitsForTheRequestUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		busy, _ := b.connect()
		say(t, busy, "wait\nnot this one\n")
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- b.s.Shutdown(context.Background()) }()
		time.Sleep(time.Minute)
		select {
		case err := <-ended:
			t.Fatal("Shutdown did not wait:", err)
		default:
		}
		b.token <- struct{}{}
		hear(t, busy, "got wait\n")
		hearEnd(t, busy)
		if err := errors.Join(<-ended, <-b.ended); err != nil {
			t.Error(err)
		}
	})
}

// A request whose first octet is there is under way: its sender waits for a reply.
func TestShutdownWaitsForTheRestOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		say(t, c, "hel")
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- b.s.Shutdown(context.Background()) }()
		synctest.Wait()
		say(t, c, "lo\n")
		hear(t, c, "got hello\n")
		hearEnd(t, c)
		if err := errors.Join(<-ended, <-b.ended); err != nil {
			t.Error(err)
		}
	})
}

func TestShutdownOutOfTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		busy, _ := b.connect()
		say(t, busy, "wait\n")
		silent, _ := b.connect()
		say(t, silent, "half a requ")
		synctest.Wait()
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := b.s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Shutdown returned %v", err)
		}
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("Shutdown took %v", took)
		}
		hearEnd(t, busy)
		hearEnd(t, silent)
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
		if n := len(b.log.lines()); n != 2 {
			t.Errorf("%d lines logged, want one for each request without a reply", n)
		}
	})
}

// lateListener hands over a connection though it is closed, as a kernel may.
type lateListener struct {
	*fakeListener
	conn net.Conn
}

func (l *lateListener) Accept() (net.Conn, error) {
	<-l.done
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	return nil, net.ErrClosed
}

func TestShutdownClosesALateConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, served := net.Pipe()
		s := New("fake", lines(nil), Options{})
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(&lateListener{newFakeListener(), served}) }()
		synctest.Wait()
		if err := errors.Join(s.Shutdown(context.Background()), <-ended); err != nil {
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is open: %v", err)
		}
	})
}
