package disk

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"postwhere/cache"
)

// million is a file with so many owners, and so many changes of them.
func million(b *testing.B, changes int) string {
	b.Helper()
	const n = 1_000_000
	path := newPath(b)
	f, err := Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	at := time.Now().Add(-time.Minute)
	write := func(w *Writer, n int) {
		for i := range n {
			answer := yes([]string{"mail1", "mail2", "mail3"}[i%3])
			answer.At = at
			w.Owned(cache.Entry{Name: cache.Name{Local: nth(b, i*7919%1_000_000).Local(), Domain: "example.com"}, Owner: answer})
		}
		at = at.Add(time.Second)
	}
	if err := f.Rewrite(func(w *Writer) { write(w, n) }); err != nil {
		b.Fatal(err)
	}
	if err := f.Append(func(w *Writer) { write(w, changes) }); err != nil {
		b.Fatal(err)
	}
	return path
}

// A start with a million owners in the file, alone and with as many changes behind
// them as there may be before it is written anew: from Start until all are known.
func BenchmarkStart(b *testing.B) {
	for _, changes := range []int{0, 500_000} {
		b.Run(fmt.Sprint(changes), func(b *testing.B) {
			path := million(b, changes)
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				c := newCache(b)
				k, _ := keep(b, path, c)
				if owners, _ := c.Len(); owners < 950_000 { // a shard may be full
					b.Fatalf("%d owners", owners)
				}
				b.StopTimer()

				k.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(info.Size())/(1_000_000+float64(changes)), "B/record")
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/start")
		})
	}
}

// What an owner takes of the heap when he is kept in a file, and that is written.
func TestOwnerTakesAtMost220BytesInAll(t *testing.T) {
	const n = 50_000
	inUse := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	before := inUse()
	c := newCache(t)
	k, _ := keep(t, newPath(t), c)
	for i := range n {
		c.Own(nth(t, i), yes("mail1"))
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if size, _ := k.State(); size > 50*n {
			break
		}
		if time.Now().After(end) {
			t.Fatal("they are not written")
		}
	}
	after := inUse()
	if got := (after - before) / n; got > 220 {
		t.Errorf("%.0f bytes each", got)
	} else {
		t.Logf("%.0f bytes each", got)
	}
	k.Close()
	runtime.KeepAlive(c)
}

// A second's changes, of a site with a million owners: each is asked again once an
// hour.
func BenchmarkAppend(b *testing.B) {
	f, err := Open(newPath(b))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	start := f.Size()
	for b.Loop() {
		if err := f.Append(func(w *Writer) {
			for i := range 280 {
				w.Owned(cache.Entry{Name: cache.Name{Local: nth(b, i).Local(), Domain: "example.com"}, Owner: yes("mail1")})
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(f.Size()-start)/float64(b.N), "B/second")
}
