package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/cache/shared"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// noMailbox is a host that says no at once.
type noMailbox struct{}

func (noMailbox) Ask(context.Context, policy.Address) policy.Answer {
	return policy.Answer{Says: policy.No, At: time.Now()}
}

// alone is a searcher over one host that answers at once: what a look-up takes is all
// its own.
type alone struct {
	*policy.Searcher
	tiers *tiers
	next  int
}

// newAlone returns one whose memory is shared at a server, or is not.
func newAlone(b *testing.B, server string) *alone {
	b.Helper()
	c, err := cache.New(cache.Default())
	if err != nil {
		b.Fatal(err)
	}
	a := &alone{tiers: &tiers{Cache: c}}
	if server != "" {
		at, err := shared.ParseServer(server)
		if err != nil {
			b.Fatal(err)
		}
		a.tiers.link.Store(shared.Start(shared.Config{Server: at, Expire: cache.DefaultExpire, Cache: c, Log: slog.New(slog.DiscardHandler)}))
	}
	d := &policy.Domain{Names: []string{"example.com"}}
	d.SetHosts([]*policy.Host{{Name: "mail1", Prober: noMailbox{}}})
	a.Searcher = policy.NewSearcher([]*policy.Domain{d}, a.tiers, policy.Options{Deadline: time.Second, Shared: a.tiers, Log: slog.New(slog.DiscardHandler)})
	b.Cleanup(func() {
		a.Close(context.Background())
		a.tiers.link.Load().Close()
	})
	return a
}

// look returns what a look-up takes that neither memory nor another front end can answer.
func (a *alone) look(b *testing.B) time.Duration {
	b.Helper()
	a.next++
	begun := time.Now()
	f, err := a.Search(b.Context(), policy.Request{Recipient: fmt.Sprintf("nobody%d@example.com", a.next)})
	if err != nil || f.Verdict != policy.Reject {
		b.Fatalf("%v because %q, %v", f.Verdict, f.Why, err)
	}
	return time.Since(begun)
}

// median returns that of many look-ups.
func (a *alone) median(b *testing.B) time.Duration {
	b.Helper()
	var took []time.Duration
	for range 5000 {
		took = append(took, a.look(b))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// bare returns what a timer takes that is set to as long as a look-up waits for the server: what
// it is late by is the machine's.
func bare() time.Duration {
	begun := time.Now()
	<-time.NewTimer(2 * time.Millisecond).C
	return time.Since(begun)
}

func (a *alone) waitFor(b *testing.B, away bool) {
	b.Helper()
	if !realhost.Eventually(func() bool { return (a.tiers.link.Load().State().Why != nil) == away }) {
		b.Fatalf("%+v", a.tiers.link.Load().State())
	}
}

// rubbish adds an entry of 64 MB to the stream of purges, which the server copies whenever it
// is read.
var rubbish = redis.NewScript(`return redis.call('XADD', KEYS[1], '*', 'what', string.rep('x', 64 * 1024 * 1024))`)

// What the shared memory adds to a look-up: while it is there, when it hangs and nobody
// knows yet, once that is known, and while it is full of rubbish. Beside the second and the last
// a bare timer shows what the machine is late by.
func BenchmarkSharedMemoryAddsToALookUp(b *testing.B) {
	const rounds = 6
	r := realhost.Redis.Start(b, "")
	one, none := newAlone(b, "redis://"+r.Addr()), newAlone(b, "")
	for b.Loop() {
		plain := none.median(b)
		there := one.median(b)
		var hung, timers []time.Duration
		for range rounds {
			one.look(b)
			r.Pause(b)
			for one.tiers.link.Load().State().Why == nil {
				hung = append(hung, one.look(b))
				timers = append(timers, bare())
			}
			r.Resume(b)
			one.waitFor(b, false)
		}
		slices.Sort(hung)
		r.Stop(b)
		one.waitFor(b, true)
		away := one.median(b)
		again := none.median(b)
		r.Start(b)
		one.waitFor(b, false)
		client := redis.NewClient(&redis.Options{Addr: r.Addr()})
		var flooded []time.Duration
		for range rounds {
			if err := rubbish.Run(b.Context(), client, []string{"postwhere:purges"}).Err(); err != nil {
				b.Fatal(err)
			}
			for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
				flooded = append(flooded, one.look(b))
				timers = append(timers, bare())
			}
			_ = client.FlushAll(b.Context())
		}
		_ = client.Close()
		slices.Sort(flooded)
		slices.Sort(timers)
		b.ReportMetric(float64(plain.Nanoseconds())/1e3, "µs/alone")
		b.ReportMetric(float64((there-plain).Nanoseconds())/1e3, "µs-added/there")
		b.ReportMetric(float64((hung[len(hung)/2]-plain).Nanoseconds())/1e6, "ms-added/hung")
		b.ReportMetric(float64((hung[len(hung)-1]-plain).Nanoseconds())/1e6, "ms-added/hung-worst")
		b.ReportMetric(float64((flooded[len(flooded)/2]-plain).Nanoseconds())/1e6, "ms-added/rubbish")
		b.ReportMetric(float64((flooded[len(flooded)-1]-plain).Nanoseconds())/1e6, "ms-added/rubbish-worst")
		b.ReportMetric(timers[len(timers)-1].Seconds()*1e3, "ms/bare-timer-worst")
		b.ReportMetric(float64((away-(plain+again)/2).Nanoseconds())/1e3, "µs-added/away")
	}
}
