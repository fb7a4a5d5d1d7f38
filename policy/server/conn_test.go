package server

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		say(t, c, "one\ntwo\nthree\nfo")
		hear(t, c, "got one\ngot two\ngot three\n")
		say(t, c, "ur\n")
		hear(t, c, "got four\n")
		c.Close()
		synctest.Wait()
		b.end()
		if l := b.log.lines(); len(l) > 0 {
			t.Errorf("logged %q", l)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{ReadTimeout: 7 * time.Second, WriteTimeout: 5 * time.Second})
		c, served := b.connect()
		for range 2 {
			time.Sleep(maxIdle - time.Second) // idle, simulated
			say(t, c, "h")
			time.Sleep(6 * time.Second)
			say(t, c, "i\n")
			hear(t, c, "got hi\n")
		}
		synctest.Wait()
		if want := []time.Duration{maxIdle, 7 * time.Second, maxIdle, 7 * time.Second, maxIdle}; !slices.Equal(served.reads, want) {
			t.Errorf("read deadlines %v, want %v", served.reads, want)
		}
		if want := []time.Duration{5 * time.Second, 5 * time.Second}; !slices.Equal(served.writes, want) {
			t.Errorf("write deadlines %v, want %v", served.writes, want)
		}
		b.end()
		hearEnd(t, c)
	})
}

// Silent connections do not shut the door for ever.
func TestIdleConnectionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		time.Sleep(maxIdle + time.Second)
		hearEnd(t, c)
		b.end()
	})
}

// The time that a verdict takes is not the client's.
func TestDeadlineIsNotTheExchanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		say(t, c, "wait\n")
		time.Sleep(time.Minute)
		b.token <- struct{}{}
		hear(t, c, "got wait\n")
		say(t, c, "hello\n")
		hear(t, c, "got hello\n")
		b.end()
		hearEnd(t, c)
	})
}

func TestSlowRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			for { // each octet comes soon after the one before
				if _, err := io.WriteString(c, "x"); err != nil {
					return
				}
				time.Sleep(3 * time.Second)
			}
		})
		hearEnd(t, c)
		if took := time.Since(start); took != DefaultTimeout {
			t.Errorf("closed after %v, want %v", took, DefaultTimeout)
		}
		wg.Wait()
		b.log.want(t, "client too slow", "peer=peer-1")
		b.end()
	})
}

func TestReplyThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		say(t, c, "hello\n")
		time.Sleep(DefaultTimeout)
		synctest.Wait()
		b.log.want(t, "client too slow")
		hearEnd(t, c)
		b.end()
	})
}

func TestReplyBeyondTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, Options{})
		c, _ := b.connect()
		say(t, c, "long\n")
		hear(t, c, strings.Repeat("x", 100_000)+"\n")
		b.end()
		hearEnd(t, c)
	})
}

// What goes wrong on one connection closes it without a reply, says so in one
// line, and leaves the others alone.
func TestTrouble(t *testing.T) {
	for name, row := range map[string]struct {
		sent string
		hang bool // the client hangs up
		log  []string
	}{
		"malformed":        {"malformed\n", false, []string{"level=WARN", "malformed request", `\"malformed\"`}},
		"line too long":    {strings.Repeat("x", 101) + "\n", false, []string{"level=WARN", "longer than 100 octets"}},
		"fault":            {"fault\n", false, []string{"level=ERROR", "no reply", errOurs.Error()}},
		"panic":            {"panic\n", false, []string{"level=ERROR", "fault in postwhere", "upset", "fakes_test.go"}},
		"end in a request": {"hel", true, []string{"level=INFO", "in the middle of a request"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, Options{})
				bad, _ := b.connect()
				good, _ := b.connect()
				say(t, bad, "hello\n")
				hear(t, bad, "got hello\n")
				say(t, good, "wait\n")
				say(t, bad, row.sent)
				if row.hang {
					bad.Close()
				} else {
					hearEnd(t, bad)
				}
				b.token <- struct{}{}
				hear(t, good, "got wait\n")
				synctest.Wait()
				b.log.want(t, append(row.log, "face=fake", "peer=peer-1")...)
				b.end()
				hearEnd(t, good)
			})
		})
	}
}

func TestPeerOfAUnixSocket(t *testing.T) {
	log := new(logged)
	s := New("fake", lines(nil), Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say(t, c, "malformed\n")
	hearEnd(t, c)
	if err := errors.Join(s.Shutdown(t.Context()), <-served); err != nil {
		t.Error(err)
	}
	log.want(t, "peer="+path)
}

func TestManyConnections(t *testing.T) {
	const clients, requests = 200, 20
	s := New("fake", lines(nil), Options{Log: slog.New(slog.DiscardHandler)})
	served := make(chan error, 2)
	var at []net.Addr
	for _, address := range [][2]string{{"tcp", "127.0.0.1:0"}, {"unix", filepath.Join(t.TempDir(), "s")}} {
		l, err := net.Listen(address[0], address[1])
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, l.Addr())
		go func() { served <- s.Serve(l) }()
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c, err := net.Dial(at[i%2].Network(), at[i%2].String())
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			for range requests {
				if _, err := io.WriteString(c, "hello\n"); err != nil {
					t.Error(err)
					return
				}
				got := make([]byte, len("got hello\n"))
				if _, err := io.ReadFull(c, got); err != nil || string(got) != "got hello\n" {
					t.Errorf("heard %q, %v", got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(s.Shutdown(t.Context()), <-served, <-served); err != nil {
		t.Error(err)
	}
}
