package shared

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// server is one that front ends have in use, and who may do with it what he likes.
type server struct {
	*realhost.RedisServer
	client *redis.Client
	other  *redis.Client // of another server of that kind, to be its master
}

func (s *server) do(t testing.TB, words ...any) {
	t.Helper()
	if err := s.client.Do(t.Context(), words...).Err(); err != nil {
		t.Errorf("%v: %v", words, err)
	}
}

// follows makes it a replica of the other server, and returns when it has all of that.
func (s *server) follows(t testing.TB) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.other.Options().Addr)
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, "REPLICAOF", host, port)
	if !realhost.Eventually(func() bool {
		return s.client.InfoMap(t.Context(), "Replication").Item("Replication", "master_link_status") == "up"
	}) {
		t.Error("it is no replica")
	}
}

// troubles are what becomes of a server, and what makes it good again, if that does not
// happen by itself.
func troubles() map[string][2]func(testing.TB, *server) {
	return map[string][2]func(testing.TB, *server){
		"flushed":               {func(t testing.TB, s *server) { s.do(t, "FLUSHALL") }},
		"its database flushed":  {func(t testing.TB, s *server) { s.do(t, "FLUSHDB") }},
		"its scripts forgotten": {func(t testing.TB, s *server) { s.do(t, "SCRIPT", "FLUSH") }},
		"connections cut":       {func(t testing.TB, s *server) { s.do(t, "CLIENT", "KILL", "TYPE", "normal") }},
		"subscribers cut":       {func(t testing.TB, s *server) { s.do(t, "CLIENT", "KILL", "TYPE", "pubsub") }},
		"asleep":                {func(t testing.TB, s *server) { s.do(t, "DEBUG", "SLEEP", "0.3") }},
		"paused":                {func(t testing.TB, s *server) { s.do(t, "CLIENT", "PAUSE", "300") }},
		"begun empty": {
			func(t testing.TB, s *server) { s.Stop(t) },
			func(t testing.TB, s *server) { s.Start(t) },
		},
		"an empty replica": {
			func(t testing.TB, s *server) {
				_ = s.other.FlushAll(t.Context()).Err()
				s.follows(t)
			},
			func(t testing.TB, s *server) { s.do(t, "REPLICAOF", "NO", "ONE") },
		},
		"a replica of an old copy": {
			func(t testing.TB, s *server) { s.follows(t) },
			func(t testing.TB, s *server) { s.do(t, "REPLICAOF", "NO", "ONE") },
		},
		"full": {
			func(t testing.TB, s *server) {
				for _, policy := range []string{
					"volatile-ttl", "volatile-random", "volatile-lru", "volatile-lfu", "allkeys-random", "allkeys-lru", "allkeys-lfu", "noeviction",
				} {
					s.do(t, "CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", "1")
					_ = s.client.Set(t.Context(), "more", "1", 0).Err() // has room made for it
				}
			},
			func(t testing.TB, s *server) { s.do(t, "CONFIG", "SET", "maxmemory", "0") },
		},
	}
}

// Whatever becomes of the server while three front ends look things up, they go on: no
// look-up waits, none learns what is not so, what is purged meanwhile is forgotten by all
// when the server is good again, and what is purged then within a second. They never ask
// for anything outside of the prefix: their user would not be let, and the server would
// have noted that.
func TestFrontEndsGoOnWhateverBecomesOfTheServer(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		s := &server{}
		var at Server
		s.RedisServer, at, s.client = redisAt(t, kind, "enable-debug-command yes\nuser mail on >hush "+aclRights)
		_, _, s.other = redisAt(t, kind, "user mail on >hush "+aclRights)
		at.User, at.Password = "mail", "hush"
		all := []*frontEnd{join(t, at), join(t, at), join(t, at)}
		end := make(chan struct{})
		var load sync.WaitGroup
		for k, f := range all {
			load.Go(func() { f.works(t, k, end) })
		}
		for name, does := range troubles() {
			anna := strings.ReplaceAll(name, " ", ".") + "@example.com"
			for _, f := range all {
				f.isUp(t)
				f.learns(t, anna, "mail1")
			}
			does[0](t, s)
			purged := cache.Purge{Name: nameOf(address(t, anna))}
			all[0].Purge(purged)
			soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			_ = all[0].link.Purge(soon, purged)
			cancel()
			if does[1] != nil {
				does[1](t, s)
			}
			for i, f := range all {
				f.isUp(t)
				if !realhost.Eventually(func() bool { return f.Recall(address(t, anna), time.Now()).Owner.Says == policy.Unasked }) {
					t.Errorf("%s: front end %d has what was purged meanwhile: %+v", name, i, f.link.State())
				}
			}
			for _, f := range all {
				f.learns(t, anna, "mail2")
				f.isUp(t)
			}
			begun := time.Now()
			all[2].Purge(purged)
			if err := all[2].link.Purge(t.Context(), purged); err != nil {
				t.Errorf("%s: purged: %v", name, err)
			}
			for _, f := range all {
				f.forgets(t, anna)
			}
			if took := time.Since(begun); took > time.Second+slack {
				t.Errorf("%s: a purge took %v", name, took)
			}
		}
		close(end)
		load.Wait()
		if denied, err := s.client.ACLLog(t.Context(), 10).Result(); err != nil || len(denied) > 0 {
			t.Errorf("they wanted what they may not have: %+v, %v", denied, err)
		}
	})
}

// works looks mailboxes up, a thousand a second at most, learns of those that it does not
// know, and purges some, until the end. Who purges all the time keeps the others from
// telling what they have learnt.
func (f *frontEnd) works(t *testing.T, from int, end <-chan struct{}) {
	t.Helper()
	hostOf := func(i int) string { return fmt.Sprintf("mail%d", i%3) }
	purged := time.Now()
	pace := time.NewTicker(time.Millisecond)
	defer pace.Stop()
	for i := from; ; i++ {
		select {
		case <-end:
			return
		case <-pace.C:
		}
		local := i % 500
		a := policy.AddressOf(fmt.Sprintf("user%03d", local), "example.com")
		begun := time.Now()
		f.link.Consult(context.Background(), a, func(policy.Answer) bool { return true })
		if took := time.Since(begun); took > maxWait+slack {
			t.Errorf("a look-up waited for %v", took)
		}
		switch o := f.Recall(a, time.Now()).Owner; {
		case o.Says == policy.Unasked:
			f.Own(a, policy.Answer{Host: hostOf(local), Says: policy.Yes, At: time.Now()})
			f.link.Own(a)
		case o.Host != hostOf(local):
			t.Errorf("%s is at %s", a, o.Host)
		case begun.Sub(purged) > 200*time.Millisecond:
			purged = begun
			f.Purge(cache.Purge{Name: nameOf(a)})
			soon, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			_ = f.link.Purge(soon, cache.Purge{Name: nameOf(a)})
			cancel()
		}
	}
}
