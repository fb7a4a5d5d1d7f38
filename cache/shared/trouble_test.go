package shared

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// slack is what a busy machine may add to maxWait before a test fails for it; that it
// is not more on one at peace, the benchmark shows.
const slack = time.Second

// wantAlone wants a front end that knows the server to be away, and asks it nothing.
func (f *frontEnd) wantAlone(t testing.TB) {
	t.Helper()
	f.log.waits(t, 1, "shared memory is away")
	if !realhost.Eventually(func() bool { return f.link.State().Why != nil }) { // that may have been before
		t.Error("State does not say so")
	}
	a, begun := address(t, "nobody@example.com"), time.Now()
	for range 1000 {
		f.link.Consult(context.Background(), a, nil)
	}
	if took := time.Since(begun); took > maxWait+slack {
		t.Errorf("1000 look-ups were delayed by %v", took)
	}
}

// wantBack wants front ends that are back, and have told the log once of each change: a
// busy machine may have had the server away once more.
func wantBack(t testing.TB, all ...*frontEnd) {
	t.Helper()
	for _, f := range all {
		f.log.waits(t, 1, "shared memory is back")
		f.told(t)
		f.isUp(t)
		back, away := f.log.count("shared memory is back"), f.log.count("shared memory is away")
		if away < back || away > back+1 || away > 10 {
			t.Errorf("%d times away, %d times back:\n%s", away, back, f.log)
		}
	}
}

func TestServerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		for _, test := range []struct {
			name     string
			leave    func(testing.TB, *realhost.RedisServer)
			comeBack func(testing.TB, *realhost.RedisServer)
		}{
			{"hung", func(t testing.TB, r *realhost.RedisServer) { r.Pause(t) }, func(t testing.TB, r *realhost.RedisServer) { r.Resume(t) }},
			{"killed", func(t testing.TB, r *realhost.RedisServer) { r.Stop(t) }, func(t testing.TB, r *realhost.RedisServer) { r.Start(t) }},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				r, at, _ := redisAt(t, kind, "")
				one, two := join(t, at), join(t, at)
				one.learns(t, "anna@example.com", "mail1")
				one.told(t)
				two.finds(t, "anna@example.com", "mail1")
				test.leave(t, r)
				// Nobody looks anything up, and yet it is noticed: nobody will wait.
				one.wantAlone(t)
				two.wantAlone(t)
				// What becomes of a front end meanwhile reaches the others afterwards.
				one.learns(t, "bert@example.com", "mail1")
				purge := cache.Purge{Name: cache.Name{Local: "anna", Domain: "example.com"}}
				one.Purge(purge)
				soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				if err := one.link.Purge(soon, purge); err == nil || !strings.Contains(err.Error(), "is away since") {
					t.Errorf("purged: %v", err)
				}
				if n := one.link.State().Waiting; n != 2 {
					t.Errorf("%d changes wait, want 2", n)
				}
				test.comeBack(t, r)
				wantBack(t, one, two)
				two.forgets(t, "anna@example.com")
				two.finds(t, "bert@example.com", "mail1")
				one.learns(t, "carl@example.com", "mail2")
				one.told(t)
				two.finds(t, "carl@example.com", "mail2")
			})
		}
	})
}

// A look-up that finds the server hung waits no longer than it may.
func TestLookUpWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, _ := redisAt(t, kind, "")
		f := join(t, at)
		f.consults(t, "anna@example.com") // over a connection that is open from now on
		r.Pause(t)
		a := address(t, "anna@example.com")
		for i := range 2 * maxFailures {
			begun := time.Now()
			f.link.Consult(context.Background(), a, nil)
			took := time.Since(begun)
			if took > maxWait+slack {
				t.Errorf("look-up %d waited for %v", i, took)
			}
		}
		f.log.waits(t, 1, "shared memory is away")
	})
}

// What was learnt while the server was away is more than is noted by name.
func TestMoreIsLearntThanIsNoted(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, client := redisAt(t, kind, "")
		f := join(t, at)
		r.Stop(t)
		f.wantAlone(t)
		const n = maxPending + 1000
		yes := policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()}
		for i := range n {
			a := policy.AddressOf(fmt.Sprintf("user%06d", i), "example.com")
			f.Own(a, yes)
			f.link.Own(a)
		}
		if waiting := f.link.State().Waiting; waiting > maxPending {
			t.Errorf("%d wait", waiting)
		}
		r.Start(t)
		for last, keys := int64(-1), int64(0); keys <= n; { // with the stream, as long as there are more
			if last = keys; !realhost.Eventually(func() bool {
				keys, _ = client.DBSize(t.Context()).Result()
				return keys > last
			}) {
				t.Fatalf("%d keys, want %d; %+v", keys, n, f.link.State())
			}
		}
	})
}

func TestServerThatIsFull(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "maxmemory-policy noeviction")
		one, two := join(t, at), join(t, at)
		one.learns(t, "anna@example.com", "mail1")
		one.told(t)
		if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		one.learns(t, "bert@example.com", "mail1")
		one.log.waits(t, 1, "shared memory takes nothing")
		if why := one.link.State().Why; why == nil || !strings.Contains(why.Error(), "OOM") {
			t.Errorf("State: %v", why)
		}
		two.finds(t, "anna@example.com", "mail1") // it can be read from
		if err := client.ConfigSet(t.Context(), "maxmemory", "0").Err(); err != nil {
			t.Fatal(err)
		}
		one.log.waits(t, 1, "shared memory takes what it is told again")
		one.told(t)
		two.finds(t, "bert@example.com", "mail1")
		one.log.wants(t, 1, "takes nothing")
	})
}

// Under load the server is flushed, hung, and killed, again and again. Nobody waits,
// nobody learns what is not so, and in the end all is as it should be.
func TestServerInTroubleUnderLoad(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, client := redisAt(t, kind, "")
		all := []*frontEnd{join(t, at), join(t, at), join(t, at)}
		var load sync.WaitGroup
		end := make(chan struct{})
		for k, f := range all {
			load.Go(func() { f.works(t, k, end) })
		}
		for i := range 3 {
			for _, f := range all {
				f.isUp(t)
			}
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Error(err)
			}
			r.Pause(t)
			for _, f := range all {
				f.log.waits(t, 2*i+1, "shared memory is away")
			}
			r.Resume(t)
			for _, f := range all {
				f.log.waits(t, 2*i+1, "shared memory is back")
			}
			r.Stop(t)
			for _, f := range all {
				f.log.waits(t, 2*i+2, "shared memory is away")
			}
			r.Start(t)
			for _, f := range all {
				f.log.waits(t, 2*i+2, "shared memory is back")
			}
		}
		close(end)
		load.Wait()
		for _, f := range all {
			f.told(t)
		}
		heardAll(t, client, all...)
		all[0].learns(t, "last@example.com", "mail1")
		all[0].told(t)
		for _, f := range all {
			f.finds(t, "last@example.com", "mail1")
		}
	})
}

// Nothing is touched that is not under the prefix, whoever purges what.
func TestNothingElseIsTouched(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		mine := map[string]string{"postwhere": "1", "post:address:anna@example.com": "1 1 {\"host\":\"mail1\"}", "mx:purges": "2"}
		for key, value := range mine {
			if err := client.Set(t.Context(), key, value, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		at.Prefix = "p*st[where]?:"
		f := join(t, at)
		f.learns(t, "anna@example.com", "mail1")
		f.link.Deny(address(t, "bert@example.com"), time.Now())
		f.told(t)
		for _, p := range []cache.Purge{{Strangers: true}, {Host: "mail1"}, {Domain: "example.com"}, {All: true}} {
			if err := f.link.Purge(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		keys, err := client.Keys(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keys {
			life, err := client.PTTL(t.Context(), key).Result()
			if _, is := mine[key]; !is && (!strings.HasPrefix(key, at.Prefix) || life > 0 == strings.HasSuffix(key, ":purges") || err != nil) {
				t.Errorf("there is %s, which lives for %v, %v", key, life, err)
			}
		}
		for key, value := range mine {
			if got := client.Get(t.Context(), key).Val(); got != value {
				t.Errorf("%s: %q, want %q", key, got, value)
			}
		}
		if _, err := client.Get(t.Context(), at.Prefix+"address:anna@example.com").Result(); !errors.Is(err, redis.Nil) {
			t.Errorf("anna: %v", err)
		}
	})
}
