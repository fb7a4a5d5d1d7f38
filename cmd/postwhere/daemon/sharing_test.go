package daemon

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/cmd/postwhere/world"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// startFrontEnds runs daemons by one configuration, whose memory is shared.
func startFrontEnds(t *testing.T, n int, server, text string) ([]*Daemon, []*testbed.Recorder) {
	t.Helper()
	all, logs := make([]*Daemon, n), make([]*testbed.Recorder, n)
	for i := range all {
		all[i], logs[i] = startDaemon(t, text+fmt.Sprintf("[cache]\nshared = %q\nunsure_expire = \"100ms\"\n", server))
	}
	return all, logs
}

// waits waits until a recipient has a verdict.
func (d *Daemon) waits(t *testing.T, recipient string, verdict policy.Verdict, host string) {
	t.Helper()
	var f policy.Finding
	if !realhost.Eventually(func() bool {
		f, _ = d.Search(t.Context(), policy.Request{Recipient: recipient, Face: "test"})
		return f.Verdict == verdict && hostName(f) == host
	}) {
		t.Errorf("%s: %s %q because %q, want %s %q", recipient, f.Verdict, hostName(f), f.Why, verdict, host)
	}
}

// waitTold waits until all that a front end has learnt is told to the others.
func (d *Daemon) waitTold(t *testing.T) {
	t.Helper()
	if !realhost.Eventually(func() bool { s := d.MemoryStats(); return s.SharedWhy == "" && s.SharedWaiting == 0 }) {
		t.Fatalf("%+v", d.MemoryStats())
	}
}

// What one front end has found is known to three, while a host is down; a purge at one
// reaches all; and a host that comes back with the mailbox elsewhere is followed.
func TestThreeFrontEndsHaveOneMemory(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		mail1 := realhost.MailHost(t, "example.com", "anna@example.com")
		mail2 := realhost.MailHost(t, "example.com", "bert@example.com")
		text := "[listen]\npolicy = []\nmilter = []\nsocketmap = []\ncontrol = []\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\"]\n" +
			fmt.Sprintf("[host.mail1]\nprobe = %q\n[host.mail2]\nprobe = %q\n", mail1.Addr(), mail2.Addr())
		all, _ := startFrontEnds(t, 3, "redis://"+r.Addr(), text)
		all[0].wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		all[1].wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceSearch)
		all[0].waitTold(t)
		all[1].waitTold(t)
		mail1.Stop(t)
		for _, d := range all {
			d.waits(t, "anna@example.com", policy.Deliver, "mail1")
			d.waits(t, "bert@example.com", policy.Deliver, "mail2")
			d.wants(t, "nobody@example.com", policy.Defer, "", policy.SourceSearch)
		}
		mail2.AddMailbox(t, "anna@example.com")
		begun := time.Now()
		f, err := all[2].Flush(t.Context(), map[string][]string{"address": {"Anna@example.com"}})
		if err != nil || f.Owners != 1 || f.SharedWhy != "" {
			t.Errorf("%+v, %v", f, err)
		}
		for _, d := range all {
			if !realhost.Eventually(func() bool {
				return d.memory.Recall(policy.AddressOf("anna", "example.com"), time.Now()).Owner.Says == policy.Unasked
			}) {
				t.Error("anna is known yet")
			}
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the purge took %v", took)
		}
		all[0].waits(t, "anna@example.com", policy.Deliver, "mail2")
		all[0].waitTold(t)
		all[1].waits(t, "anna@example.com", policy.Deliver, "mail2")
		mail1.Start(t)
		for _, d := range all {
			d.waits(t, "nobody@example.com", policy.Reject, "")
		}
	})
}

// A mailbox that its host denies to one front end is refused by none for a while.
func TestDoubtOfOneFrontEndIsOneOfAll(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		var gone atomic.Bool
		mail1 := testbed.StartHost(t, func(to string) error {
			if to == "anna@example.com" && !gone.Load() || strings.HasPrefix(to, "bert") { // who vouches for it
				return nil
			}
			return testbed.ErrNobody
		})
		all, _ := startFrontEnds(t, 3, "redis://"+r.Addr(), testbed.SiteText(mail1))
		for i, d := range all {
			d.wants(t, fmt.Sprintf("bert%d@example.com", i), policy.Deliver, "mail1", policy.SourceSearch)
		}
		all[0].wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		all[0].waitTold(t)
		all[1].waits(t, "anna@example.com", policy.Deliver, "mail1")
		found := time.Now()
		realhost.Eventually(func() bool { return time.Since(found) > 10*time.Millisecond }) // front ends tell each other milliseconds
		gone.Store(true)
		all[0].memory.Distrust("mail1", time.Now()) // she is asked again
		all[0].waits(t, "anna@example.com", policy.Defer, "")
		// Who asks sooner than that may not be waited for by a busy server.
		for _, d := range all {
			if !realhost.Eventually(func() bool { return !d.doubts.All()[policy.AddressOf("anna", "example.com").Key()].IsZero() }) {
				t.Error("a front end has not heard of it")
			}
		}
		all[1].waits(t, "anna@example.com", policy.Defer, "") // who has known her
		all[2].wants(t, "anna@example.com", policy.Defer, "", policy.SourceSearch)
		for _, d := range all {
			d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
		}
	})
}

// The server of the shared memory is flushed, hung and killed while three front ends are
// asked all the time: no mailbox is refused, and no stranger let in.
func TestNobodyIsRefusedWhateverBecomesOfTheSharedMemory(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		mail1, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com", "adam@example.com")), testbed.StartHost(t, testbed.Having("bert@example.com"))
		text := strings.Replace(testbed.SiteText(mail1, mail2), "[[domain]]", "[search]\nmax_searches = 100000\n[[domain]]", 1)
		all, logs := startFrontEnds(t, 3, "redis://"+r.Addr(), text)
		end := make(chan struct{})
		var load sync.WaitGroup
		for _, d := range all {
			load.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-end:
						return
					default:
					}
					recipient := []string{"anna@example.com", "bert@example.com", "adam@example.com", fmt.Sprintf("nobody%d@example.com", i)}[i%4]
					f, err := d.Search(t.Context(), policy.Request{Recipient: recipient, Face: "test"})
					if known := i%4 < 3; err != nil || known && f.Verdict == policy.Reject || !known && f.Verdict == policy.Deliver {
						t.Errorf("%s: %s because %q, %v", recipient, f.Verdict, f.Why, err)
					}
					if i%50 == 0 { // so that it is looked for elsewhere
						d.memory.Purge(cache.Purge{All: true})
					}
				}
			})
		}
		away := func(n int) {
			for _, l := range logs {
				if !realhost.Eventually(func() bool { return l.Count("shared memory is away") >= n }) {
					t.Errorf("not away for the %dth time", n)
				}
			}
		}
		back := func(n int) {
			for _, l := range logs {
				if !realhost.Eventually(func() bool { return l.Count("shared memory is back") >= n }) {
					t.Errorf("not back for the %dth time", n)
				}
			}
		}
		r.Pause(t)
		away(1)
		r.Resume(t)
		back(1)
		r.Stop(t)
		away(2)
		r.Start(t) // and empty
		back(2)
		close(end)
		load.Wait()
		for _, d := range all {
			d.waitTold(t)
		}
	})
}

// A front end without a file starts with mail1 another machine than what the others have
// of it: it does not believe them.
func TestOwnerOfAnotherMachineIsNotAdopted(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		old, now, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, testbed.Having()), testbed.StartHost(t, testbed.Having("bert@example.com"))
		one, _ := startFrontEnds(t, 1, "redis://"+r.Addr(), testbed.SiteText(old, mail2))
		one[0].wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		one[0].wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceSearch)
		one[0].waitTold(t)
		two, _ := startFrontEnds(t, 1, "redis://"+r.Addr(), testbed.SiteText(now, mail2))
		if !realhost.Eventually(func() bool { // on a busy machine it may not be answered in time
			return !two[0].tiers.Consult(t.Context(), policy.AddressOf("anna", "example.com"), func(policy.Answer) bool {
				t.Error("the old machine is believed")
				return false
			}).IsZero()
		}) {
			t.Error("she is not known to have been a mailbox")
		}
		two[0].waits(t, "bert@example.com", policy.Deliver, "mail2")
		two[0].wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	})
}

// The endpoint is where a host is asked, however that is written; what else it is asked
// with may differ from front end to front end.
func TestEndpointIsThatOfTheMachine(t *testing.T) {
	of := func(table string) string {
		cfg := testbed.Parse(t, "[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\n"+table)
		return (&world.World{Config: cfg}).EndpointOf("mail1")
	}
	same := of("")
	for _, table := range []string{"probe = \"mail1:25\"", "probe = \"smtp:inet:mail1:25\"", "bind_address = \"127.0.0.1\"", "route = \"virtual:\"", "connections = 3"} {
		if of(table) != same {
			t.Errorf("%s: another machine", table)
		}
	}
	for _, table := range []string{"probe = \"mail2:25\"", "probe = \"mail1:26\"", "probe = \"lmtp:inet:mail1:25\"", "method = \"rcpt\"", "vrfy_252 = \"yes\""} {
		if of(table) == same {
			t.Errorf("%s: the same machine", table)
		}
	}
}
