package bench

import (
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// counted is the far end of a dump: it counts lines, and forgets them.
type counted struct {
	lines int
	each  func()
}

func (*counted) Header() http.Header { return http.Header{} }
func (*counted) WriteHeader(int)     {}

func (c *counted) Write(text []byte) (int, error) {
	for _, octet := range text {
		if octet == '\n' {
			c.lines++
		}
	}
	c.each()
	return len(text), nil
}

// BenchmarkDump is how much the heap swells while millions of owners are dumped: what
// of it is in use at its largest, with the collector made to run all the time.
func BenchmarkDump(b *testing.B) {
	m := remembers(b, manyOwners, 0)
	b.ReportMetric(swellsBy(b, m.Daemon, manyOwners)/1e6, "MB/swollen")
}

// swellsBy dumps what a daemon remembers, and returns by how many bytes of heap it
// swells.
func swellsBy(t testing.TB, d *daemon.Daemon, lines int) float64 {
	t.Helper()
	inUse := func() float64 {
		runtime.GC()
		runtime.GC() // what the first has found is free after the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before, most, writes := inUse(), 0.0, 0
	w := &counted{}
	w.each = func() {
		if writes++; writes%(1+lines/2000) == 0 {
			most = max(most, inUse())
		}
	}
	d.Dump(w)
	if w.lines != lines {
		t.Errorf("%d lines, want %d", w.lines, lines)
	}
	return most - before
}

// A dump takes no more memory for all of them than for a shard's.
func TestDumpDoesNotSwell(t *testing.T) {
	d := daemon.New(maillog.New(testbed.Log(t)))
	testbed.Run(t, d, testbed.Parse(t, testbed.SiteText(testbed.StartHost(t, testbed.Having()))))
	yes := policy.Answer{Host: "mail1", Says: policy.Yes, Method: "vrfy", At: time.Now()}
	const n = 100_000 // 20 MB of lines, and 20 MB of memory
	for i := range n {
		d.Memory().Own(ownerAt(i), yes)
	}
	if bytes := swellsBy(t, d, n); bytes > 4e6 {
		t.Errorf("%.1f MB", bytes/1e6)
	} else {
		t.Logf("%.1f MB", bytes/1e6)
	}
}

// BenchmarkFlush is the longest look-up while half of millions of owners are flushed,
// by domain and by host, as against the longest while nothing is.
func BenchmarkFlush(b *testing.B) {
	m := remembers(b, manyOwners, 0)
	other := policy.Answer{Host: "mail2", Says: policy.Yes, Method: "vrfy", At: time.Now()}
	for i := range manyOwners / 2 {
		m.Memory().Own(ownerAt(i).At("example.net"), other) // in place of as many of example.com
	}
	longest := func(while func()) (most, over float64) {
		stop := make(chan struct{})
		var took []time.Duration
		var asking sync.WaitGroup
		asking.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				start := time.Now()
				if _, err := m.search.Search(b.Context(), policy.Request{Recipient: ownerAt(manyOwners - 1 - i%hotRecipients).String()}); err != nil {
					b.Error(err)
				}
				took = append(took, time.Since(start))
			}
		})
		while()
		close(stop)
		asking.Wait()
		slow := 0
		for _, d := range took {
			if d > 10*time.Millisecond {
				slow++
			}
		}
		return slices.Max(took).Seconds() * 1e3, float64(slow) * 1e6 / float64(len(took))
	}
	quiet, over := longest(func() {
		for start := time.Now(); time.Since(start) < 4*time.Second; { // as busy as a flush
		}
	})
	b.Logf("quiet: %.1f ms, %.1f of a million above 10 ms", quiet, over)
	for _, query := range []url.Values{{"domain": {"example.net"}}, {"host": {"mail1"}}} {
		var done control.Flushed
		start := time.Now()
		ms, over := longest(func() {
			var err error
			if done, err = m.Flush(b.Context(), query); err != nil {
				b.Error(err)
			}
		})
		b.Logf("%v: %+v in %v: %.1f ms, %.1f of a million above 10 ms", query, done, time.Since(start), ms, over)
		b.ReportMetric(ms, "ms/"+query.Encode())
	}
	b.ReportMetric(quiet, "ms/quiet")
	b.ReportMetric(0, "ns/op")
}
