package shared

import (
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
)

// A front end that reloads, or begins again, where it has read a huge entry last does not have the
// server copy that with each read.
func TestHugeEntryIsNotLookedForAgain(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one := join(t, at)
		one.flushes(t, cache.Purge{Host: "mail9"})
		if err := hugeEntry.Run(t.Context(), client, []string{"postwhere:purges"}, 8<<10).Err(); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, one)
		two := join(t, at, func(c *Config) { c.Cache, c.Before = one.Cache, one.link })
		one.link.Close()
		for range 3 {
			two.reads(t)
		}
		// One that is small is behind it, and looked for from now on.
		last, err := client.XRevRangeN(t.Context(), "postwhere:purges", "+", "-", 1).Result()
		if err != nil || len(last) == 0 {
			t.Fatal(err)
		}
		if what, _ := last[0].Values["what"].(string); len(what) > maxRead {
			t.Errorf("an entry of %d octets is looked for each time", len(what))
		}
	})
}

// The streams are passed over, and then the server's clock is set back: what is purged from then on
// has lower numbers than the clock had, and is heard.
func TestPassedOverBeforeTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, _ := redisOf(t, kind.StartWithClock(t, ""))
		one := join(t, at)
		one.flushes(t, cache.Purge{Host: "mail9"})
		at, slow := withoutReads(t, at)
		two := join(t, at)
		two.reads(t)
		slow.Store(true)
		two.log.waits(t, 1, "cannot be read in time")
		slow.Store(false)
		two.isUp(t)
		two.reads(t)
		r.SetClock(t, -2*time.Hour)
		two.learns(t, "carl@example.com", "mail1")
		no := two.wasTold(t, "bert@example.com")
		one.flushes(t, cache.Purge{Domain: "example.com"})
		two.forgets(t, "carl@example.com")
		two.refusesNot(t, "bert@example.com", no)
	})
}
