package daemon

import (
	"fmt"
	"io"
	"path/filepath"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cache/disk"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/policy"
)

// A start with a million owners in the file: until the faces answer, and until the
// last of the owners is known.
func BenchmarkStartWithAMillionOwners(b *testing.B) {
	const n = 1_000_000
	file := filepath.Join(b.TempDir(), "cache.db")
	f, err := disk.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	at := time.Now()
	err = f.Rewrite(func(w *disk.Writer) {
		for i := range n {
			w.Owned(cache.Entry{
				Name:  cache.Name{Local: fmt.Sprintf("user%08d", i), Domain: "example.com"},
				Owner: policy.Answer{Host: "mail1", Says: policy.Yes, Method: "vrfy", At: at, Reply: policy.Reply{Code: 252, Enhanced: "2.0.0"}},
			})
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	_ = f.Close()
	cfg, err := config.Parse("bench.toml", fmt.Sprintf(`
[listen]
policy    = ["inet:127.0.0.1:0"]
milter    = []
socketmap = []
control   = []
[cache]
file   = %q
owners = 1200000
[[domain]]
name  = "example.com"
hosts = ["mail1"]
[host.mail1]
probe = "127.0.0.1:1"
`, file))
	if err != nil {
		b.Fatal(err)
	}
	answering, all := time.Duration(0), time.Duration(0)
	for b.Loop() {
		start := time.Now()
		d := New(maillog.New(io.Discard))
		if err := d.Adopt(cfg); err != nil {
			b.Fatal(err)
		}
		answering += time.Since(start)
		d.keeper.Wait(time.Minute)
		all += time.Since(start)
		b.StopTimer()
		last := policy.Request{Recipient: fmt.Sprintf("user%08d@example.com", n-1)}
		if f, err := d.Search(b.Context(), last); err != nil || f.Verdict != policy.Deliver {
			b.Fatalf("the last one: %v, %v", f.Verdict, err)
		}
		if err := d.end(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(answering.Seconds()/float64(b.N), "s/answering")
	b.ReportMetric(all.Seconds()/float64(b.N), "s/all")
}
