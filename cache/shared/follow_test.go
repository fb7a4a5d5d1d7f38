package shared

import (
	"fmt"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// A front end that does not run while another purges learns of it when it runs again,
// with what it has on its disk.
func TestFrontEndThatWasAwayLearnsOfAPurge(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		for _, mailbox := range []string{"anna@example.com", "bert@example.com"} {
			one.learns(t, mailbox, "mail1")
		}
		one.told(t)
		if err := one.link.Purge(t.Context(), cache.Purge{Name: cache.Name{Local: "carl", Domain: "example.com"}}); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, two)
		two.link.Close()
		position := two.link.Position()

		anna := cache.Purge{Name: cache.Name{Local: "anna", Domain: "example.com"}}
		if err := one.link.Purge(t.Context(), anna); err != nil {
			t.Fatal(err)
		}
		yes := policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()}
		two = join(t, at, func(c *Config) {
			c.Past.Position = position
			for _, local := range []string{"anna", "bert", "carl"} {
				c.Cache.Restore(cache.Entry{Name: cache.Name{Local: local, Domain: "example.com"}, Owner: yes})
			}
		})
		two.forgets(t, "anna@example.com")
		for _, mailbox := range []string{"bert@example.com", "carl@example.com"} {
			if host := two.Recall(address(t, mailbox), time.Now()).Owner.Host; host != "mail1" {
				t.Errorf("%s is at %q", mailbox, host)
			}
		}
	})
}

// More was purged than the stream has: then all is.
func TestFrontEndThatWasAwayForTooLongForgetsAll(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one := join(t, at)
		if err := one.link.Purge(t.Context(), cache.Purge{Host: "mail9"}); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, one)
		one.link.Close()
		pipe := client.Pipeline()
		for i := range 2 * streamLength {
			purgeScript.Eval(t.Context(), pipe, []string{"postwhere:purges"}, streamLength, version, "another", kindHost, fmt.Sprintf("mail9:%d", i))
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		one = join(t, at, func(c *Config) {
			c.Past.Position = one.link.Position()
			c.Cache.Own(policy.AddressOf("anna", "example.com"), policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()})
		})
		one.forgets(t, "anna@example.com")
		one.log.waits(t, 1, "more was purged than this front end can learn of")
	})
}

// The server begins anew with a clock that was set back, or an old copy: purges are
// heard all the same.
func TestStreamsThatBeganAnew(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f := join(t, at, func(c *Config) { c.Past.Position = Position{"9999999999999-5", "9999999999999-5"} })
		other := join(t, at)
		f.learns(t, "anna@example.com", "mail1")
		f.told(t)
		if err := other.link.Purge(t.Context(), cache.Purge{Domain: "example.com"}); err != nil {
			t.Fatal(err)
		}
		f.forgets(t, "anna@example.com")
		heardAll(t, client, f, other)
		if p := f.link.Position(); p.Purges == "9999999999999-5" {
			t.Errorf("position %+v", p)
		}
	})
}

// A writer that has not heard of a purge writes nothing.
func TestNothingIsStoredBeforeAPurgeIsHeardOf(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f := join(t, at)
		f.learns(t, "anna@example.com", "mail1")
		f.told(t)
		run := func(position string) int {
			keys := []string{"postwhere:purges", "postwhere:denied", "postwhere:address:bert@example.com"}
			n, err := storeScript.Run(t.Context(), client, keys, position, version, 60_000, streamLength, time.Now().UnixMicro(), patience.Microseconds(),
				time.Now().UnixMicro(), 60_000, record{owner: policy.Answer{Host: "mail1"}}.object(), "").Int()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := f.link.Position().Purges
		if err := f.link.Purge(t.Context(), cache.Purge{All: true}); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, f)
		if n := run(before); n != 0 || client.Exists(t.Context(), "postwhere:address:bert@example.com").Val() != 0 {
			t.Errorf("stored %d before", n)
		}
		// A front end that has just begun may tell of the purge once more.
		isStored := func() bool { return run(f.link.Position().Purges) == 1 }
		if !realhost.Eventually(isStored) || client.Exists(t.Context(), "postwhere:address:bert@example.com").Val() != 1 {
			t.Error("nothing is stored after")
		}
	})
}

// A purge that another version tells of in words of its own is one of all.
func TestPurgeOfAnotherVersionIsOfAll(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f := join(t, at)
		f.learns(t, "anna@example.com", "mail1")
		f.told(t)
		if err := purgeScript.Run(t.Context(), client, []string{"postwhere:purges"}, 10, "2", "another", kindHost, "mail9").Err(); err != nil {
			t.Fatal(err)
		}
		f.forgets(t, "anna@example.com")
	})
}

// A server that is full drops owners, but no purge: who was away is to learn of it.
func TestFullServerDropsNoPurge(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "maxmemory-policy volatile-lru")
		one, two := join(t, at), join(t, at)
		one.learns(t, "anna@example.com", "mail1")
		one.learns(t, "bert@example.com", "mail1")
		one.told(t)
		two.finds(t, "anna@example.com", "mail1")
		if err := one.link.Purge(t.Context(), cache.Purge{Host: "mail9"}); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, two)
		two.link.Close()
		position := two.link.Position()
		if err := one.link.Purge(t.Context(), cache.Purge{Name: cache.Name{Local: "anna", Domain: "example.com"}}); err != nil {
			t.Fatal(err)
		}
		if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
			t.Fatal(err)
		}
		if !realhost.Eventually(func() bool {
			_ = client.Set(t.Context(), "more", "1", 0).Err() // has room made for it
			return client.Exists(t.Context(), "postwhere:address:bert@example.com").Val() == 0
		}) {
			t.Fatal("no owner is dropped")
		}
		two = join(t, at, func(c *Config) {
			c.Past.Position = position
			c.Cache.Own(policy.AddressOf("anna", "example.com"), policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()})
		})
		two.forgets(t, "anna@example.com")
	})
}
