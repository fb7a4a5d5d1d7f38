package milter

import (
	"context"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
	"postwhere/policy/server"
)

// overPipe runs a test in simulated time: a server, and an MTA at the other end of
// a pipe.
func overPipe(t *testing.T, s Searcher, test func(t *testing.T, m *mta)) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		q := newQueue()
		srv := New(s, Options{Options: server.Options{Log: slog.New(slog.DiscardHandler)}})
		served := make(chan error)
		go func() { served <- srv.Serve(q) }()
		q.put(ours)
		test(t, &mta{t, theirs})
		theirs.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// slowly takes a time, or until it is told to stop, and tells how long it was.
func slowly(takes time.Duration, took *atomic.Int64) Searcher {
	return searcherFunc(func(ctx context.Context, _ policy.Request) (policy.Finding, error) {
		begun := time.Now()
		defer func() { took.Store(int64(time.Since(begun))) }()
		select {
		case <-time.After(takes):
			return policy.Finding{Verdict: policy.Deliver}, nil
		case <-ctx.Done():
			return policy.Finding{Verdict: policy.Defer}, nil
		}
	})
}

// beginMessage says all that comes before a recipient, as Postfix does, and reads the
// replies.
func (m *mta) beginMessage(version uint32) {
	m.t.Helper()
	m.beginMessageAs("Postfix 3.7.11", version)
}

// beginMessageAs is beginMessage by an MTA that calls itself so, "" if it does not.
func (m *mta) beginMessageAs(name string, version uint32) {
	m.t.Helper()
	if version < 6 {
		m.negotiate(version, 0, oldProtocol)
	} else {
		m.negotiate(version, allActions, allProtocol)
	}
	if name != "" {
		m.send(macros('C', "j", "mx.example", "v", name))
	}
	for _, f := range []string{frame('C', outside), frame('H', "x\x00"), frame('M', "<>\x00")} {
		m.send(f)
		if version < 6 {
			m.wants(goOn)
		}
	}
}

// Postfix waits 30 s for a reply, from the last sign of life on.
func TestMTAIsKeptWaiting(t *testing.T) {
	const takes = 4 * time.Minute
	var took atomic.Int64
	overPipe(t, slowly(takes, &took), func(t *testing.T, m *mta) {
		m.beginMessage(6)
		for range 2 {
			m.send(macros('R', "{rcpt_mailer}", "relay") + frame('R', "<anna@example.com>\x00"))
			signs := 0
			for {
				m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				got := m.read()
				if got != "p" {
					if got != goOn || signs < int(takes/progressEvery)-1 || time.Duration(took.Load()) != takes {
						t.Errorf("after %d signs of life and %v: %q", signs, time.Duration(took.Load()), got)
					}
					break
				}
				signs++
			}
		}
	})
}

// Nothing is said to an MTA whose recipient is answered at once.
func TestQuickAnswerIsAllThatIsSaid(t *testing.T) {
	var took atomic.Int64
	overPipe(t, slowly(progressEvery-time.Millisecond, &took), func(t *testing.T, m *mta) {
		m.beginMessage(6)
		for range 3 {
			m.send(macros('R', "{rcpt_mailer}", "relay") + frame('R', "<anna@example.com>\x00"))
			m.wants(goOn)
			time.Sleep(time.Minute)
		}
	})
}

// An MTA of an older version cannot be kept waiting, nor may one that is not Postfix,
// to which a sign of life is no reply: it is told 4xx in time.
func TestOtherMTAsDoNotWait(t *testing.T) {
	for _, row := range []struct {
		name    string
		version uint32
	}{{"Postfix 2.5.0", 2}, {"8.17.1.9", 6}, {"", 6}, {"", 2}} {
		var took atomic.Int64
		overPipe(t, slowly(time.Minute, &took), func(t *testing.T, m *mta) {
			m.beginMessageAs(row.name, row.version)
			for range 2 {
				m.send(macros('R', "{rcpt_mailer}", "relay") + frame('R', "<anna@example.com>\x00"))
				m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
				m.wants("y450 4.4.1 Mailbox cannot be located now, try again later\x00")
				if took := time.Duration(took.Load()); took != patience {
					t.Errorf("%q, version %d: it took %v", row.name, row.version, took)
				}
			}
		})
	}
}

// Nobody asks for an MTA that has left.
func TestMTALeavesInTheMiddleOfASearch(t *testing.T) {
	var took atomic.Int64
	overPipe(t, slowly(time.Hour, &took), func(t *testing.T, m *mta) {
		m.beginMessage(6)
		m.send(macros('R', "{rcpt_mailer}", "relay") + frame('R', "<anna@example.com>\x00"))
		time.Sleep(time.Second)
		m.conn.Close()
		time.Sleep(time.Minute)
		if took := time.Duration(took.Load()); took != progressEvery {
			t.Errorf("the search was given up after %v", took)
		}
	})
}

// One that does not read what it is told holds the connection no longer than a
// write may take.
func TestMTADoesNotRead(t *testing.T) {
	var took atomic.Int64
	overPipe(t, slowly(time.Hour, &took), func(t *testing.T, m *mta) {
		m.beginMessage(6)
		m.send(macros('R', "{rcpt_mailer}", "relay") + frame('R', "<anna@example.com>\x00"))
		time.Sleep(time.Minute)
		if took := time.Duration(took.Load()); took != progressEvery+server.DefaultTimeout {
			t.Errorf("the search was given up after %v", took)
		}
	})
}

// While a message comes in nothing is said to us, for hours; but an MTA that has
// connected begins at once.
func TestSilence(t *testing.T) {
	var took atomic.Int64
	overPipe(t, slowly(0, &took), func(t *testing.T, m *mta) {
		m.beginMessage(6)
		time.Sleep(23 * time.Hour)
		m.send(macros('R', "{rcpt_mailer}", "relay") + frame('R', "<anna@example.com>\x00"))
		m.wants(goOn)
		time.Sleep(25 * time.Hour)
		m.wants("")
	})
	overPipe(t, slowly(0, &took), func(t *testing.T, m *mta) {
		begun := time.Now()
		m.wants("")
		if silent := time.Since(begun); silent != negotiationTime {
			t.Errorf("closed after %v", silent)
		}
	})
}
