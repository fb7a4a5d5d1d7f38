package shared

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// shutOut has no front end by the user mail reach the server until letIn.
func shutOut(t testing.TB, client *redis.Client, f *frontEnd) {
	t.Helper()
	for _, words := range [][]any{{"ACL", "SETUSER", "mail", "off"}, {"CLIENT", "KILL", "USER", "mail"}} {
		if err := client.Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	f.wantAlone(t)
}

func letIn(t testing.TB, client *redis.Client) {
	t.Helper()
	if err := client.Do(t.Context(), "ACL", "SETUSER", "mail", "on").Err(); err != nil {
		t.Fatal(err)
	}
}

// wasTold keeps that a host has said no to a mailbox, as it did before this was made. A purge
// from before may be heard only now.
func (f *frontEnd) wasTold(t testing.TB, mailbox string) (no []policy.Answer) {
	t.Helper()
	if !realhost.Eventually(func() bool {
		no = []policy.Answer{{Host: "mail1", Says: policy.No, At: time.Now()}}
		f.Keep(address(t, mailbox), no)
		return f.refuses(t, mailbox, no)
	}) {
		t.Fatal("the no is not kept: that is no test")
	}
	return no
}

// refuses tells whether a no about a mailbox is a reason to refuse it.
func (f *frontEnd) refuses(t testing.TB, mailbox string, no []policy.Answer) bool {
	t.Helper()
	a := address(t, mailbox)
	return len(f.Recall(a, time.Now()).Answers) > 0 && !f.Purged(a, no)
}

// refusesNot waits until an old no about a mailbox is no reason to refuse it.
func (f *frontEnd) refusesNot(t testing.TB, mailbox string, no []policy.Answer) {
	t.Helper()
	a := address(t, mailbox)
	if !realhost.Eventually(func() bool { return len(f.Recall(a, time.Now()).Answers) == 0 && f.Purged(a, no) }) {
		t.Errorf("%s would be refused: %+v; %+v; log:\n%s", mailbox, f.Recall(a, time.Now()), f.link.State(), f.log)
	}
}

func (f *frontEnd) flushes(t testing.TB, p cache.Purge) {
	t.Helper()
	f.Purge(p)
	if err := f.link.Purge(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// Somebody flushes the server, which stays up, while one front end is away: the purge that
// it has not heard of is not lost to it, and no old no of its own refuses anybody.
func TestPurgeOutlivesAFlushOfTheServer(t *testing.T) {
	t.Parallel()
	host9 := cache.Purge{Host: "mail9"}
	for name, test := range map[string]struct {
		heard bool // a purge before
		then  func(t testing.TB, r *realhost.RedisServer, client *redis.Client, one *frontEnd)
		owner bool // is forgotten, too
	}{
		"nothing else": {true, func(testing.TB, *realhost.RedisServer, *redis.Client, *frontEnd) {}, true},
		"there was no purge before": {false, func(testing.TB, *realhost.RedisServer, *redis.Client, *frontEnd) {
		}, true},
		"another purge at once": {true, func(t testing.TB, _ *realhost.RedisServer, _ *redis.Client, one *frontEnd) {
			one.flushes(t, host9)
		}, true},
		"the front end that purged ends": {true, func(_ testing.TB, _ *realhost.RedisServer, _ *redis.Client, one *frontEnd) {
			one.link.Close()
		}, false},
		"the clock is set back": {true, func(t testing.TB, r *realhost.RedisServer, _ *redis.Client, one *frontEnd) {
			r.SetClock(t, -2*time.Hour)
			one.flushes(t, host9)
		}, true},
		"the clock is set forward": {true, func(t testing.TB, r *realhost.RedisServer, _ *redis.Client, one *frontEnd) {
			r.SetClock(t, 2*time.Hour)
			one.flushes(t, host9)
		}, true},
		"it is flushed again": {true, func(t testing.TB, _ *realhost.RedisServer, client *redis.Client, one *frontEnd) {
			one.link.readNow()
			if !realhost.Eventually(func() bool { return client.XLen(context.Background(), "postwhere:purges").Val() > 0 }) {
				t.Error("the purge is not told again")
			}
			if err := client.FlushDB(t.Context()).Err(); err != nil {
				t.Error(err)
			}
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
				r, at, client := redisOf(t, kind.StartWithClock(t, "user mail on >hush "+aclRights))
				one := join(t, at)
				at.User, at.Password = "mail", "hush"
				two := join(t, at)
				one.isUp(t)
				if test.heard {
					one.flushes(t, host9)
					heardAll(t, client, one, two)
				}
				one.learns(t, "anna@example.com", "mail1")
				one.told(t)
				two.finds(t, "anna@example.com", "mail1")
				shutOut(t, client, two)
				no := two.wasTold(t, "bert@example.com")
				one.flushes(t, forgetAnna)
				one.flushes(t, cache.Purge{Name: cache.Name{Local: "bert", Domain: "example.com"}})
				if err := client.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				test.then(t, r, client, one)
				letIn(t, client)
				two.refusesNot(t, "bert@example.com", no)
				if test.owner {
					two.forgets(t, "anna@example.com")
				}
				three := join(t, at)
				three.isUp(t)
				three.flushes(t, cache.Purge{Domain: "example.org"})
				heardAll(t, client, two, three)
			})
		})
	}
}

// The server comes back with a copy from before a purge, which has what a front end has read last,
// and the one that could tell it again is gone: a no of the time before refuses nobody.
func TestNoFromBeforeAnOldCopyRefusesNobody(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, client := redisAt(t, kind, "user mail on >hush "+aclRights)
		one := join(t, at)
		at.User, at.Password = "mail", "hush"
		two := join(t, at)
		one.flushes(t, cache.Purge{Host: "mail9"})
		heardAll(t, client, one, two)
		entries := func() int64 { return client.XLen(t.Context(), "postwhere:purges").Val() }
		var had int64
		if !realhost.Eventually(func() bool { // one of those that have just joined may tell that it has
			before := entries()
			if err := client.Save(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			had = entries()
			return had == before
		}) {
			t.Fatal("there is no end of entries")
		}
		no := two.wasTold(t, "bert@example.com")
		shutOut(t, client, two)
		one.flushes(t, cache.Purge{Name: cache.Name{Local: "bert", Domain: "example.com"}})
		one.link.Close()
		r.Stop(t)
		r.Start(t) // and lets the other in
		two.isUp(t)
		two.reads(t)
		two.refusesNot(t, "bert@example.com", no)
		two.Keep(address(t, "bert@example.com"), no) // by a search that was under way
		two.refusesNot(t, "bert@example.com", no)
		if n := entries(); n != had || n == 0 {
			t.Errorf("%d entries where %d were: that is no test", n, had)
		}
		two.log.wants(t, 0, "may be lost")
	})
}

// The same over a connection that stays: the server becomes the replica of one with an older copy
// while the front end may not read.
func TestNoFromBeforeAnOldCopyOverTheSameConnectionRefusesNobody(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "user mail on >hush "+aclRights)
		_, atOther, other := redisAt(t, kind, "")
		do := func(at *redis.Client, words ...any) {
			t.Helper()
			if err := at.Do(t.Context(), words...).Err(); err != nil {
				t.Fatal(words, err)
			}
		}
		replicate := func(to *redis.Client, at Server, entries int64) {
			t.Helper()
			host, port, _ := net.SplitHostPort(at.Address)
			do(to, "REPLICAOF", host, port)
			if !realhost.Eventually(func() bool { return to.XLen(t.Context(), "postwhere:purges").Val() == entries }) {
				t.Fatal("there is no copy")
			}
			do(to, "REPLICAOF", "NO", "ONE")
		}
		one := join(t, at)
		at.User, at.Password = "mail", "hush"
		two := join(t, at)
		one.flushes(t, cache.Purge{Host: "mail9"})
		heardAll(t, client, one, two)
		two.reads(t)
		had := client.XLen(t.Context(), "postwhere:purges").Val()
		replicate(other, at, had)
		no := two.wasTold(t, "bert@example.com")
		do(client, "ACL", "SETUSER", "mail", "-eval", "-evalsha")
		two.wantAlone(t)
		one.flushes(t, cache.Purge{Name: cache.Name{Local: "bert", Domain: "example.com"}})
		one.link.Close()
		replicate(client, atOther, had)
		do(client, "ACL", "SETUSER", "mail", "+eval", "+evalsha")
		two.refusesNot(t, "bert@example.com", no)
	})
}

// The server is flushed while all are there: what was purged at that moment reaches all.
func TestPurgeAtTheMomentOfAFlushReachesAll(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		for range 20 {
			one.isUp(t)
			two.isUp(t)
			two.hasLearnt(t, "anna@example.com", "mail1", 0)
			no := two.wasTold(t, "bert@example.com")
			one.flushes(t, forgetAnna)
			one.flushes(t, cache.Purge{Name: cache.Name{Local: "bert", Domain: "example.com"}})
			if err := client.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			two.forgets(t, "anna@example.com")
			two.refusesNot(t, "bert@example.com", no)
			if took := time.Since(begun); took > time.Second+slack {
				t.Errorf("it took %v", took)
			}
		}
	})
}
