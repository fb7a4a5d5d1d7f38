package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/world"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// BenchmarkHostDown measures what a host that is down adds to look-ups that the
// other hosts settle, once it is known to be down: two real Postfix hosts, and the
// same two with the dead one before them in the list, where it could hold up a yes.
// A look-up of each in turn, so that what else the machine does hits both.
func BenchmarkHostDown(b *testing.B) {
	addrs := benchHosts(b)[:2]
	for _, how := range []string{"refusing", "silent"} {
		b.Run(how, func(b *testing.B) {
			dead := realhost.Silent(b)
			if how == "refusing" {
				dead = nobodyThere(b)
			}
			const warm, lookups = 200, 3800 // as many as there are mailboxes
			without, with := deadWorld(b, addrs, ""), deadWorld(b, addrs, dead)
			look := func(w *world.World, i int) time.Duration {
				begun := time.Now()
				rcpt := benchUser(i%2, i/2) + "@example.com"
				f, err := w.Searcher.Search(b.Context(), policy.Request{Recipient: rcpt})
				if err != nil || f.Verdict != policy.Deliver {
					b.Errorf("%s: %v %s %v", rcpt, f.Verdict, f.Why, err)
				}
				return time.Since(begun)
			}
			for i := range warm { // the breaker knows it, budgets are learnt
				look(without, i)
				look(with, i)
			}
			var two, three []time.Duration
			for i := range lookups {
				two = append(two, look(without, warm+i))
				three = append(three, look(with, warm+i))
			}
			slices.Sort(two)
			slices.Sort(three)
			for name, at := range map[string]int{"median": len(two) / 2, "p99": len(two) * 99 / 100} {
				b.ReportMetric(float64(two[at].Microseconds())/1000, name+"-ms-without")
				b.ReportMetric(float64(three[at].Microseconds())/1000, name+"-ms-with")
				b.ReportMetric(float64((three[at]-two[at]).Microseconds())/1000, name+"-ms-added")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// nobodyThere returns an address where nobody listens.
func nobodyThere(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.9:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// deadWorld is the search over hosts, the dead one first if there is one.
func deadWorld(b *testing.B, addrs []string, dead string) *world.World {
	b.Helper()
	var names []string
	tables := ""
	if dead != "" {
		names = append(names, `"dead"`)
		tables += fmt.Sprintf("[host.dead]\nprobe = \"smtp:inet:%s\"\n", dead)
	}
	for i, addr := range addrs {
		names = append(names, fmt.Sprintf("%q", fmt.Sprintf("mail%d", i+1)))
		tables += fmt.Sprintf("[host.mail%d]\nprobe = \"smtp:inet:%s\"\n", i+1, addr)
	}
	cfg, err := config.Parse("bench.toml", fmt.Sprintf(
		"[[domain]]\nname = \"example.com\"\nhosts = [%s]\n[probe]\nconnect_timeout = \"1s\"\n%s", strings.Join(names, ", "), tables))
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
