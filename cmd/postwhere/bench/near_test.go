// Package bench measures what "How fast" in README.md says: a whole daemon, or its search,
// beside a raw client that does the same work in the same run.
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/world"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// benchUsers is how many mailboxes each host of a benchmark has.
const benchUsers = 2000

// benchHosts starts three real Postfix hosts, each with mailboxes of its own,
// as busy sites have them: an smtpd serves many sessions.
func benchHosts(b *testing.B) []string {
	b.Helper()
	realhost.Need(b, "postfix")
	var addrs []string
	for host := range 3 {
		var mailboxes []string
		for i := range benchUsers {
			mailboxes = append(mailboxes, benchUser(host, i)+"@example.com")
		}
		h := realhost.PostfixConfig{
			SMTP: []realhost.SMTPService{{Options: []string{"max_use=100"}}},
		}.MailHost(b, "example.com", mailboxes...)
		addrs = append(addrs, h.Addr())
	}
	return addrs
}

func benchUser(host, i int) string { return fmt.Sprintf("user%d.%d", host, i) }

// benchWorld is the search over hosts, without a daemon around it.
func benchWorld(b *testing.B, addrs []string, connections int) *world.World {
	b.Helper()
	text := "[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\", \"mail3\"]\n[search]\ndeadline = \"30s\"\npreference_wait = \"5s\"\n"
	for i, addr := range addrs {
		text += fmt.Sprintf("[host.mail%d]\nprobe = \"smtp:inet:%s\"\nconnections = %d\n", i+1, addr, connections)
	}
	cfg, err := config.Parse("bench.toml", text)
	if err != nil {
		b.Fatal(err)
	}
	memory, err := cache.New(cfg.MemoryOptions())
	if err != nil {
		b.Fatal(err)
	}
	w, err := world.New(b.Context(), cfg, memory, world.Past{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.Close(ctx)
	})
	return w
}

// askers lets n of them ask at once until all look-ups are done, and returns how
// long each took.
func askers(n, lookups int, ask func(i int)) []time.Duration {
	took := make([]time.Duration, lookups)
	var next atomic.Int64
	var asking sync.WaitGroup
	for range n {
		asking.Go(func() {
			for i := int(next.Add(1)) - 1; i < lookups; i = int(next.Add(1)) - 1 {
				start := time.Now()
				ask(i)
				took[i] = time.Since(start)
			}
		})
	}
	asking.Wait()
	return took
}

// crowdRate is askers who come one after the other within a round trip, as clients of a mail
// server do, and how many look-ups a second are answered while all of them ask: from when as many
// are answered as there are askers until one has no more to ask. The first of each are not in took.
func crowdRate(n, lookups int, ask func(i int)) (took []time.Duration, rate float64) {
	var done atomic.Int64
	var begun atomic.Pointer[time.Time]
	took = askers(n, lookups, func(i int) {
		switch {
		case i < n:
			time.Sleep(roundTrip * time.Duration(i) / time.Duration(n))
		case i == lookups-1: // who is ready next has no more to ask
			rate = float64(done.Load()-int64(n)) / time.Since(*begun.Load()).Seconds()
		}
		ask(i)
		if now := time.Now(); done.Add(1) == int64(n) {
			begun.Store(&now)
		}
	})
	return took[n:], rate
}

// lookFor returns an asker for known or unknown addresses, each a new one.
func lookFor(b *testing.B, w *world.World, known bool, run int) func(int) {
	b.Helper()
	return func(i int) {
		rcpt, want := fmt.Sprintf("nobody%d.%d@example.com", run, i), policy.Reject
		if known {
			rcpt, want = benchUser(i%3, (i/3)%benchUsers)+"@example.com", policy.Deliver
		}
		f, err := w.Searcher.Search(b.Context(), policy.Request{Recipient: rcpt})
		if err != nil || f.Verdict != want {
			b.Errorf("%s: %v %s %v", rcpt, f.Verdict, f.Why, err)
		}
	}
}

// BenchmarkNearHosts compares look-ups among three real Postfix hosts with a raw
// client that does nothing but send VRFY and read, over as many connections, and
// changes each after nine refusals.
func BenchmarkNearHosts(b *testing.B) {
	const connections = 5
	addrs := benchHosts(b)
	for _, known := range []bool{false, true} {
		b.Run(map[bool]string{false: "unknown", true: "known"}[known], func(b *testing.B) {
			const rounds, lookups = 5, 600
			w := benchWorld(b, addrs, connections)
			look := lookFor(b, w, known, 1)
			askers(connections, lookups, look) // until the hosts' budgets are learnt
			var ours, raws []float64
			// A round of each in turn, so that what else the machine does hits both.
			for round := range rounds {
				begun := time.Now()
				askers(connections, lookups, func(i int) { look((round+1)*lookups + i) })
				ours = append(ours, lookups/time.Since(begun).Seconds())
				raws = append(raws, rawRate(b, addrs, connections, lookups, known))
			}
			b.ReportMetric(median(ours), "lookups/s")
			b.ReportMetric(median(raws), "raw-lookups/s")
			b.ReportMetric(median(ours)/median(raws), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
