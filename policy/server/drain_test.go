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
		silent, _ := b.connect()
		time.Sleep(courtesy)
		used, _ := b.connect()
		say(t, used, "hello\n")
		hear(t, used, "got hello\n")
		synctest.Wait()
		start := time.Now()
		b.end()
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v", took)
		}
		hearEnd(t, silent)
		hearEnd(t, used)
		if l := b.log.lines(); len(l) > 0 {
			t.Errorf("logged %q", l)
		}
	})
}

// Who has just been let in is on the way to ask: he is answered, if he does.
func TestShutdownWaitsForWhoHasJustCome(t *testing.T) {
	for _, late := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, Options{})
			asks, _ := b.connect()
			silent, _ := b.connect()
			if !late {
				synctest.Wait()
			}
			start := time.Now()
			ended := make(chan error, 1)
			go func() { ended <- b.s.Shutdown(context.Background()) }()
			time.Sleep(courtesy / 2)
			say(t, asks, "hello\nand more\n")
			hear(t, asks, "got hello\n")
			hearEnd(t, asks)
			hearEnd(t, silent)
			if err := errors.Join(<-ended, <-b.ended); err != nil {
				t.Error(err)
			}
			if took := time.Since(start); took != courtesy {
				t.Errorf("Shutdown took %v", took)
			}
			if l := b.log.lines(); len(l) > 0 {
				t.Errorf("logged %q", l)
			}
		})
	}
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

func TestShutdownAnswersALateConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, served := net.Pipe()
		s := New("fake", lines(nil), Options{})
		ended := make(chan error, 2)
		go func() { ended <- s.Serve(&lateListener{newFakeListener(), served}) }()
		synctest.Wait()
		go func() { ended <- s.Shutdown(context.Background()) }()
		say(t, client, "hello\n")
		hear(t, client, "got hello\n")
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Error(err)
		}
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is open: %v", err)
		}
	})
}
