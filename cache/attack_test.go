package cache

import (
	"context"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// site is a search over two hosts. mail2 has all mailboxes whose names begin with user;
// asked counts the questions.
func site(t testing.TB, c *Cache) (s *policy.Searcher, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	var hosts []*policy.Host
	for _, name := range []string{"mail1", "mail2"} {
		hosts = append(hosts, &policy.Host{Name: name, Prober: policy.ProberFunc(func(_ context.Context, a policy.Address) policy.Answer {
			asked.Add(1)
			if name == "mail2" && strings.HasPrefix(a.Local(), "user") {
				return yes(name)
			}
			return no(name)
		})})
	}
	d := &policy.Domain{Names: []string{"example.com"}}
	d.SetHosts(hosts)
	s = policy.NewSearcher([]*policy.Domain{d}, c, policy.Options{
		Deadline: time.Minute, PreferenceWait: time.Minute, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { s.Close(context.Background()) })
	return s, asked
}

// live returns how many octets the last collection has left.
func live() uint64 {
	of := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(of)
	return of[0].Value.Uint64()
}

// The attack as it comes in: ten million guesses, if there is time, each searched for and
// refused, by several at a time, while mail comes in between for a million mailboxes that
// are known, and for some that nobody has asked about before.
func TestDictionaryAttackIsSearchedForAndPushesOutNoOwner(t *testing.T) {
	owners, guesses := 2000, 40_000
	if large {
		owners, guesses = 1_000_000, 10_000_000
	}
	const (
		between  = 100 // guesses, comes mail for somebody
		newcomer = 10  // and of these is one new
	)
	newcomers := guesses / between / newcomer
	var opt Options
	c := newCache(t, func(o *Options) {
		full(owners + newcomers)(o)
		o.Strangers = max(owners/10, 1000)
		opt = *o
	})
	s, asked := site(t, c)
	wants := func(local string, i int, verdict policy.Verdict) policy.Finding {
		local += strconv.Itoa(i)
		f, err := s.Search(context.Background(), policy.Request{Recipient: local + "@example.com"})
		if err != nil || f.Verdict != verdict {
			t.Errorf("%s: %+v, %v, want %v", local, f, err, verdict)
		}
		return f
	}
	for i := range owners {
		c.Own(policy.AddressOf("user"+strconv.Itoa(i), "example.com"), yes("mail2"))
	}
	runtime.GC()
	before := live()

	var attack sync.WaitGroup
	var next, most atomic.Int64
	for range runtime.GOMAXPROCS(0) {
		attack.Go(func() {
			for i := int(next.Add(1)); i <= guesses; i = int(next.Add(1)) {
				wants("guess", i, policy.Reject)
				switch n := i / between; {
				case i%between > 0:
				case n%newcomer > 0:
					wants("user", n%owners, policy.Deliver)
				default:
					wants("user", owners+n/newcomer-1, policy.Deliver)
					most.Store(max(most.Load(), int64(live())))
				}
			}
		})
	}
	attack.Wait()

	// What a stranger takes is said at Options: two hosts, usual refusals. Twice that is
	// what they may leave to the collector.
	if grown, may := most.Load()-int64(before), int64(opt.Strangers*2*(215+2*(128+235))+newcomers*400+32<<20); grown > may {
		t.Errorf("memory has grown by %d octets, want at most %d", grown, may)
	}
	questions := asked.Load()
	for i := range owners + newcomers {
		if f := wants("user", i, policy.Deliver); f.Source != policy.SourceMemory {
			t.Errorf("user%d was forgotten", i)
		}
	}
	if n := asked.Load() - questions; n > 0 {
		t.Errorf("hosts were asked %d questions about owners", n)
	}
	if _, n := c.Len(); n > atMost(opt.Strangers) {
		t.Errorf("%d strangers", n)
	}
	t.Logf("%d strangers: %d octets more than before", guesses, most.Load()-int64(before))
}
