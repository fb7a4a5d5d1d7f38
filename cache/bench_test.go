package cache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// sizes are how many entries there are. POSTWHERE_LARGE=1 adds five million,
// which takes up to 8 GB.
func sizes() []int {
	if large {
		return []int{1_000, 100_000, 5_000_000}
	}
	return []int{1_000, 100_000}
}

// nth returns an address of 24 octets.
func nth(b testing.TB, i int) policy.Address {
	return address(b, fmt.Sprintf("user%08d@example.com", i))
}

// roomy and full return options for n entries of either kind without any pushed
// out: full so that Recall keeps the order of all.
func roomy(n int) func(*Options) {
	return func(o *Options) { o.Owners, o.Strangers = 3*n, 3*n }
}

func full(n int) func(*Options) {
	return func(o *Options) { o.Owners, o.Strangers = n+n/8+1000, n+n/8+1000 }
}

// Recall of a living owner and of a living stranger, of a cache of many sizes. The
// look-ups go to any of the entries ("any": each is out of the processor's caches
// if there are millions), or to a thousand of them ("few": those that mail comes
// for now). "x/map" is the time as a multiple of a plain map's under a mutex, of
// as many addresses, measured with the same look-ups.
func BenchmarkRecall(b *testing.B) {
	own := func(c *Cache, a policy.Address) { c.Own(a, yes("mail1")) }
	for _, kind := range []struct {
		name  string
		size  func(int) func(*Options)
		learn func(*Cache, policy.Address)
	}{
		{"owner", roomy, own},
		{"owner-full", full, own},
		{"stranger", roomy, func(c *Cache, a policy.Address) { c.Keep(a, threeRefusals(a)) }},
	} {
		b.Run(kind.name, func(b *testing.B) {
			for _, n := range sizes() {
				b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkRecall(b, n, kind.size, kind.learn) })
			}
		})
	}
}

func benchmarkRecall(b *testing.B, n int, size func(int) func(*Options), learn func(*Cache, policy.Address)) {
	c := newCache(b, func(o *Options) {
		size(n)(o)
		o.No = time.Hour // filling it with five millions takes a while
	})
	plain := make(map[string]policy.Says)
	for i := range n {
		a := nth(b, i)
		learn(c, a)
		plain[a.String()] = policy.Yes
	}
	for _, spread := range []struct {
		name string
		n    int
	}{{"any", 1 << 20}, {"few", 1 << 10}} {
		// Made in the order of the look-ups: a face, too, has just made the
		// address that it asks for.
		asked := make([]policy.Address, spread.n)
		for i := range asked {
			asked[i] = nth(b, rand.IntN(n))
		}
		b.Run(spread.name, func(b *testing.B) { recallAll(b, c, plain, asked) })
	}
}

func recallAll(b *testing.B, c *Cache, plain map[string]policy.Says, asked []policy.Address) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if m := c.Recall(asked[i&(len(asked)-1)], time.Now()); m.Owner.Says == policy.Unasked && m.Answers == nil {
			b.Fatal("forgotten")
		}
		i++
	}
	took := b.Elapsed()
	keys := make([]string, len(asked))
	for j := range keys {
		keys[j] = asked[j].String()
	}
	var mu sync.Mutex
	start := time.Now()
	for j := range i {
		mu.Lock()
		says := plain[keys[j&(len(keys)-1)]]
		mu.Unlock()
		if says != policy.Yes {
			b.Fatal("forgotten")
		}
	}
	b.ReportMetric(float64(took)/float64(time.Since(start)), "x/map")
}

func BenchmarkRecallParallel(b *testing.B) {
	const n = 100_000
	c := newCache(b, full(n))
	asked := make([]policy.Address, n)
	for i := range asked {
		asked[i] = nth(b, i)
		c.Own(asked[i], yes("mail1"))
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.IntN(n); pb.Next(); i++ {
			c.Recall(asked[i%n], time.Now())
		}
	})
}

func BenchmarkOwn(b *testing.B) {
	c, a, answer := newCache(b, nil), nth(b, 1), yes("mail1")
	for b.Loop() {
		c.Own(a, answer)
	}
}

func BenchmarkKeep(b *testing.B) {
	c, a := newCache(b, nil), nth(b, 1)
	answers := threeRefusals(a)
	for b.Loop() {
		c.Keep(a, answers)
	}
}

// threeRefusals is what three Postfix hosts say.
func threeRefusals(a policy.Address) []policy.Answer {
	text := fmt.Sprintf("<%s>: Recipient address rejected: User unknown in local recipient table", a)
	var answers []policy.Answer
	for _, host := range []string{"mail1", "mail2", "mail3"} {
		r := no(host)
		r.Reply.Text = text
		answers = append(answers, r)
	}
	return answers
}

// heap returns the bytes of heap that fill leaves in use.
func heap(fill func() *Cache) float64 {
	inUse := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	c := fill()
	after := inUse()
	runtime.KeepAlive(c)
	return float64(after) - float64(before)
}

func heapOfOwners(b testing.TB, n int) float64 {
	return heap(func() *Cache {
		c := newCache(b, full(n))
		for i := range n {
			c.Own(nth(b, i), yes("mail1"))
		}
		return c
	}) / float64(n)
}

// A map has most room to spare just after it has grown, by a factor of two: sizes
// between two doublings show the best and the worst.
func TestOwnerTakesAtMost220Bytes(t *testing.T) {
	for _, n := range []int{14_000, 15_500, 18_000, 22_000} {
		if got := heapOfOwners(t, n); got > 220 {
			t.Errorf("%d owners: %.0f bytes each", n, got)
		} else {
			t.Logf("%d owners: %.0f bytes each", n, got)
		}
	}
}

func BenchmarkOwnerBytes(b *testing.B) {
	for _, n := range append(sizes()[1:], 1_000_000) {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var bytes float64
			for range b.N {
				bytes = heapOfOwners(b, n)
			}
			b.ReportMetric(bytes, "B/owner")
		})
	}
}

// "usual" refusals are those of three Postfix hosts, "longest" have every text as
// long as it is kept, and "none" is the entry without answers' own room: with one
// answer and no text.
func BenchmarkStrangerBytes(b *testing.B) {
	const n = 100_000
	for _, shape := range []struct {
		name    string
		answers func(policy.Address) []policy.Answer
	}{
		{"usual", threeRefusals},
		{"longest", func(a policy.Address) []policy.Answer {
			answers := threeRefusals(a)
			for i := range answers {
				answers[i].Reply.Text = fmt.Sprintf("%500s", a)
				answers[i].Why = answers[i].Reply.Text
			}
			return answers
		}},
		{"bare", func(policy.Address) []policy.Answer {
			return []policy.Answer{{Host: "mail1", Says: policy.No, At: time.Now()}}
		}},
	} {
		b.Run(shape.name, func(b *testing.B) {
			var bytes float64
			for range b.N {
				bytes = heap(func() *Cache {
					c := newCache(b, full(n))
					for i := range n {
						a := nth(b, i)
						c.Keep(a, shape.answers(a))
					}
					return c
				}) / n
			}
			b.ReportMetric(bytes, "B/stranger")
		})
	}
}
