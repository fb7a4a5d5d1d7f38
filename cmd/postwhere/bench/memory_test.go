package bench

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
)

// How many are remembered in the benchmarks of memory: of a small site, and of a
// large one.
const (
	fewOwners, manyOwners       = 1_000, 5_000_000
	fewStrangers, manyStrangers = 1_000, 1_000_000
	hotRecipients               = 1_000 // those that mail comes for now
)

// fullMemory is a daemon that remembers so many owners and strangers, and a search in
// the same memory without a log.
type fullMemory struct {
	*daemon.Daemon
	search            *policy.Searcher
	owners, strangers int
}

func ownerAt(i int) policy.Address {
	return policy.AddressOf(fmt.Sprintf("user%08d", i), "example.com")
}
func strangerAt(i int) policy.Address {
	return policy.AddressOf(fmt.Sprintf("none%08d", i), "example.com")
}

// remembers starts a daemon of that memory, with room for no more than the largest of
// sites has.
func remembers(b *testing.B, owners, strangers int) *fullMemory {
	b.Helper()
	cfg, err := config.Parse("bench.toml", fmt.Sprintf(`
[listen]
policy    = []
milter    = []
socketmap = ["inet:127.0.0.1:0"]
control   = []
[cache]
file = ""
owners = %d
strangers = %d
owner_refresh = "1d"
no_expire = "1d"
[[domain]]
name  = "example.com"
hosts = ["mail1", "mail2", "mail3"]
[host.mail1]
probe = "127.0.0.1:1"
[host.mail2]
probe = "127.0.0.1:1"
[host.mail3]
probe = "127.0.0.1:1"
`, owners+owners/8+1000, max(strangers+strangers/8, cache.DefaultStrangers)))
	if err != nil {
		b.Fatal(err)
	}
	m := &fullMemory{Daemon: daemon.New(maillog.New(io.Discard)), owners: owners, strangers: strangers}
	if err := m.Adopt(cfg); err != nil {
		b.Fatal(err)
	}
	w, err := world.New(b.Context(), cfg, m.Memory(), world.Past{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	m.search = w.Searcher
	b.Cleanup(func() {
		w.Close(b.Context())
		_ = m.Shutdown(b.Context())
	})
	m.learn()
	return m
}

func (m *fullMemory) learn() {
	now := time.Now()
	yes := policy.Answer{Host: "mail1", Says: policy.Yes, Method: "vrfy", At: now, Reply: policy.Reply{Code: 252, Enhanced: "2.0.0"}}
	for i := range m.owners {
		m.Memory().Own(ownerAt(i), yes)
	}
	no := func(host string) policy.Answer {
		return policy.Answer{Host: host, Says: policy.No, Method: "vrfy", At: now, Reply: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}}
	}
	answers := []policy.Answer{no("mail1"), no("mail2"), no("mail3")}
	for i := range m.strangers {
		m.Memory().Keep(strangerAt(i), answers)
	}
}

// recipients fills a batch with such of the first n that memory knows as owners, or
// as strangers. A face, too, has just made the text that it asks for.
func recipients(batch []string, n int, at func(int) policy.Address) {
	for i := range batch {
		batch[i] = at(rand.IntN(n)).String()
	}
}

// BenchmarkRemembered is the whole search of a remembered verdict, the recipient's
// parsing included, for recipients at random among few and among many that are
// remembered, and for those that mail comes for now, among many.
func BenchmarkRemembered(b *testing.B) {
	few, many := remembers(b, fewOwners, fewStrangers), remembers(b, manyOwners, manyStrangers)
	for _, run := range []struct {
		verdict   policy.Verdict
		at        func(int) policy.Address
		few, many int
	}{
		{policy.Deliver, ownerAt, fewOwners, manyOwners},
		{policy.Reject, strangerAt, fewStrangers, manyStrangers},
	} {
		b.Run(run.verdict.String(), func(b *testing.B) {
			const rounds = 1001
			batch := make([]string, 200)
			look := func(m *fullMemory, n int) float64 {
				recipients(batch, n, run.at)
				start := time.Now()
				for _, rcpt := range batch {
					f, err := m.search.Search(b.Context(), policy.Request{Recipient: rcpt, Face: "policy", Door: true})
					if err != nil || f.Verdict != run.verdict || f.Source != policy.SourceMemory {
						b.Fatalf("%s: %+v, %v", rcpt, f, err)
					}
				}
				return float64(time.Since(start).Nanoseconds()) / float64(len(batch))
			}
			var fews, manys, hots []float64
			for range rounds { // in turns, so that what else the machine does hits all
				fews = append(fews, look(few, run.few))
				manys = append(manys, look(many, run.many))
				hots = append(hots, look(many, hotRecipients))
			}
			b.ReportMetric(median(fews), "ns/few")
			b.ReportMetric(median(manys), "ns/many")
			b.ReportMetric(median(hots), "ns/many-hot")
			b.ReportMetric(median(manys)/median(fews), "ratio")
			b.ReportMetric(median(hots)/median(fews), "ratio-hot")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkRememberedAsked is the same as Postfix has it, by a map over a socket: with
// the daemon's line of the log.
func BenchmarkRememberedAsked(b *testing.B) {
	few, many := remembers(b, fewOwners, fewStrangers), remembers(b, manyOwners, manyStrangers)
	const rounds = 501
	batch := make([]string, 50)
	asker := func(m *fullMemory) func(int) float64 {
		conn, err := net.Dial("tcp", m.AddressOf("socketmap"))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		in := bufio.NewReader(conn)
		return func(n int) float64 {
			recipients(batch, n, ownerAt)
			start := time.Now()
			for _, rcpt := range batch {
				if _, err := fmt.Fprintf(conn, "%d:transport %s,", len("transport ")+len(rcpt), rcpt); err != nil {
					b.Fatal(err)
				}
				if reply, err := in.ReadString(','); err != nil || !strings.Contains(reply, "OK smtp:[mail1]:25") {
					b.Fatalf("%q, %v", reply, err)
				}
			}
			return float64(time.Since(start).Microseconds()) / float64(len(batch))
		}
	}
	askFew, askMany := asker(few), asker(many)
	var fews, manys []float64
	for range rounds {
		fews = append(fews, askFew(fewOwners))
		manys = append(manys, askMany(manyOwners))
	}
	b.ReportMetric(median(fews), "µs/few")
	b.ReportMetric(median(manys), "µs/many")
	b.ReportMetric(median(manys)/median(fews), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkOwnerBytes is the heap that each of many owners takes.
func BenchmarkOwnerBytes(b *testing.B) {
	heap := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := heap()
	m := remembers(b, manyOwners, 0)
	b.ReportMetric((heap()-before)/manyOwners, "B/owner")
	b.ReportMetric(0, "ns/op")
	runtime.KeepAlive(m)
}
