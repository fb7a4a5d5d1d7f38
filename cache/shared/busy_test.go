package shared

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
)

// Front ends that purge addresses all the time tell each other all the same what they learn
// and what is denied to them.
func TestWhoPurgesAllTheTimeTellsTheRest(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		all := []*frontEnd{join(t, at), join(t, at), join(t, at)}
		end := make(chan struct{})
		var load sync.WaitGroup
		for _, f := range all {
			f.isUp(t)
			load.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-end:
						return
					default:
					}
					p := cache.Purge{Name: cache.Name{Local: fmt.Sprintf("purged%d", i%500), Domain: "example.com"}}
					soon, cancel := context.WithTimeout(context.Background(), time.Millisecond)
					f.Purge(p)
					_ = f.link.Purge(soon, p)
					cancel()
				}
			})
		}
		defer load.Wait()
		defer close(end)
		begun := time.Now()
		for i := range 500 {
			for k, f := range all {
				f.learns(t, fmt.Sprintf("user%d-%d@example.com", i, k), "mail1")
			}
		}
		all[0].link.Deny(address(t, "dora@example.com"), begun)
		var keys int64
		if !realhost.Eventually(func() bool {
			all[1].mu.Lock()
			defer all[1].mu.Unlock()
			keys = client.DBSize(t.Context()).Val()
			return keys >= 1503 && !all[1].doubted[nameOf(address(t, "dora@example.com"))].IsZero()
		}) {
			t.Errorf("%d keys are told; %+v; %+v; %+v", keys, all[0].link.State(), all[1].link.State(), all[2].link.State())
		}
		t.Logf("told after %v", time.Since(begun))
	})
}
