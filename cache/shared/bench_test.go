package shared

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// How many of those who look something up at one moment learn what another front end
// knows, and do not have to ask the hosts for having waited too long.
func BenchmarkManyMissesAtOnce(b *testing.B) {
	const rounds = 200
	_, at, _ := redisAt(b, realhost.Redis, "")
	for _, n := range []int{16, 64, 256, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			one, two := join(b, at), join(b, at)
			for i := range n * rounds {
				one.learns(b, fmt.Sprintf("user%d@example.com", i), "mail1")
			}
			one.told(b)
			two.isUp(b)
			var mu sync.Mutex
			var took []time.Duration
			learnt, asked := 0, 0
			for b.Loop() {
				for round := range rounds {
					var asking sync.WaitGroup
					for i := range n {
						a := policy.AddressOf(fmt.Sprintf("user%d", round*n+i), "example.com")
						asking.Go(func() {
							begun := time.Now()
							two.link.Consult(context.Background(), a, func(policy.Answer) bool { return true })
							d := time.Since(begun)
							mu.Lock()
							defer mu.Unlock()
							took = append(took, d)
						})
					}
					asking.Wait()
				}
				asked += n * rounds
				owners, _ := two.Len()
				learnt += owners
			}
			slices.Sort(took)
			b.ReportMetric(100*float64(learnt)/float64(asked), "%learnt")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/median")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "µs/worst")
		})
	}
}
