package daemon

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// moving is a mailbox that is at one of two hosts, or at neither for a moment.
type moving struct{ at atomic.Int32 }

// host returns a host that has it while it is there, and another for good.
func (m *moving) host(t *testing.T, n int32, other string) *testbed.Host {
	t.Helper()
	return testbed.StartHost(t, func(to string) error {
		if to == "anna@example.com" && m.at.Load() == n || to == other {
			return nil
		}
		return testbed.ErrNobody
	})
}

// frontEnd is a daemon that is started again. Nobody asks one that does not run.
type frontEnd struct {
	mu sync.RWMutex
	*Daemon
}

func (f *frontEnd) look(t *testing.T, recipient string) (policy.Finding, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.Search(t.Context(), policy.Request{Recipient: recipient, Face: "test"})
}

// restarts ends it, and starts it by a configuration.
func (f *frontEnd) restarts(t *testing.T, text string) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stops(t)
	f.Daemon, _ = startDaemon(t, text)
}

// A mailbox moves to and fro, and is at neither host meanwhile, while three front ends are
// asked about it all the time, are reloaded, and are restarted, and the server of their
// memory hangs, dies and is emptied: nobody is refused who is on his way.
func TestNobodyOnHisWayIsRefusedWhateverHappens(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		var anna moving
		anna.at.Store(1)
		mail1, mail2 := anna.host(t, 1, "bert@example.com"), anna.host(t, 2, "carl@example.com")
		text := func(i int, more string) string {
			return testbed.SiteText(mail1, mail2) + fmt.Sprintf("[search]\nmax_searches = 100000\n[cache]\nshared = \"redis://%s\"\nfile = %q\nowner_refresh = \"50ms\"\nunsure_expire = \"20ms\"\n%s",
				r.Addr(), filepath.Join(t.TempDir(), fmt.Sprint(i)), more)
		}
		const n = 3
		var all [n]frontEnd
		var texts [n]string
		for i := range n {
			texts[i] = text(i, "")
			all[i].Daemon, _ = startDaemon(t, texts[i])
			all[i].waits(t, "anna@example.com", policy.Deliver, "mail1")
		}
		end := make(chan struct{})
		var load sync.WaitGroup
		for i := range n {
			for range 2 {
				load.Go(func() {
					for k := 0; ; k++ {
						select {
						case <-end:
							return
						default:
						}
						recipient := []string{"anna@example.com", "bert@example.com", "carl@example.com", fmt.Sprintf("nobody%d@example.com", k)}[k%4]
						f, err := all[i].look(t, recipient)
						if known := k%4 < 3; err != nil || known && f.Verdict == policy.Reject || !known && f.Verdict == policy.Deliver {
							t.Errorf("%s at %d: %s because %q, %v", recipient, i, f.Verdict, f.Why, err)
						}
					}
				})
			}
		}
		answered := func() { // by each front end, a few times
			for i := range n {
				for range 20 {
					_, _ = all[i].look(t, "anna@example.com")
				}
			}
		}
		trouble := []func(){
			func() { r.Pause(t) }, func() { r.Resume(t) }, func() { r.Stop(t) }, func() { r.Start(t) },
			func() { reloads(t, all[0].Daemon, texts[0]+"owner_expire = \"8d\"\n") },
			func() { reloads(t, all[0].Daemon, texts[0]) },
			func() { all[1].restarts(t, texts[1]) },
		}
		for round := range 2 * len(trouble) {
			anna.at.Store(0)
			answered()
			trouble[round%len(trouble)]()
			answered()
			anna.at.Store(int32(1 + round%2))
			answered()
			if !realhost.Eventually(func() bool {
				f, _ := all[2].look(t, "anna@example.com")
				return f.Verdict == policy.Deliver && hostName(f) == fmt.Sprintf("mail%d", 1+round%2)
			}) {
				t.Errorf("round %d: she is not found", round)
			}
		}
		close(end)
		load.Wait()
	})
}
