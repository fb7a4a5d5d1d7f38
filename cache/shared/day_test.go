package shared

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/packaging/realhost"
)

// On an operator's ordinary day, when connections are cut, the server begins again with what
// it had, or a front end reads another configuration, no purge is lost: who was refused a
// moment ago is refused, and not put off until his hosts have looked again.
func TestOrdinaryDayPutsNobodyOff(t *testing.T) {
	t.Parallel()
	type house struct {
		*realhost.RedisServer
		client *redis.Client
		at     Server
	}
	for day, happens := range map[string]func(t testing.TB, h house, two *frontEnd){
		"connections are cut": func(t testing.TB, h house, two *frontEnd) {
			if err := h.client.ClientKillByFilter(t.Context(), "TYPE", "normal").Err(); err != nil {
				t.Fatal(err)
			}
		},
		"the server is away for long": func(t testing.TB, h house, two *frontEnd) {
			h.Pause(t)
			two.wantAlone(t)
			h.Resume(t)
		},
		"a front end reloads": func(t testing.TB, h house, two *frontEnd) {
			next := join(t, h.at, func(c *Config) { c.Cache, c.Before = two.Cache, two.link })
			two.link.Close()
			two.link = next.link
		},
	} {
		for before, purged := range map[string]bool{"no purge ever": false, "a purge": true} {
			t.Run(day+"/"+before, func(t *testing.T) {
				t.Parallel()
				realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
					r, at, client := redisAt(t, kind, "")
					one := join(t, at)
					if purged {
						one.flushes(t, cache.Purge{Host: "mail9"})
					}
					two := join(t, at)
					two.reads(t)
					heardAll(t, client, two)
					no := two.wasTold(t, "bert@example.com")
					happens(t, house{r, client, at}, two)
					for _, f := range []*frontEnd{one, two} {
						f.isUp(t)
						f.reads(t)
					}
					one.flushes(t, cache.Purge{Domain: "example.org"})
					heardAll(t, client, one, two)
					if !two.refuses(t, "bert@example.com", no) {
						t.Errorf("bert is put off; log:\n%s", two.log)
					}
				})
			})
		}
	}
}

// An entry that only is there to be seen has nobody forget anything, and there is one,
// however many front ends begin.
func TestEntryThatIsThereToBeSeen(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		for range 3 {
			f := join(t, at)
			f.learns(t, "anna@example.com", "mail1")
			no := f.wasTold(t, "bert@example.com")
			f.reads(t)
			heardAll(t, client, f)
			if !f.refuses(t, "bert@example.com", no) || f.consults(t, "anna@example.com") != "mail1" {
				t.Errorf("something is forgotten; log:\n%s", f.log)
			}
		}
		if n := client.XLen(t.Context(), "postwhere:purges").Val(); n != 1 {
			t.Errorf("%d entries", n)
		}
	})
}

// A stream that begins again in the millisecond in which it was flushed has no number that it had.
func TestNumbersAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, _, client := redisAt(t, kind, "")
		was := make(map[string]bool)
		for range 500 {
			pipe := client.Pipeline() // so that it is the same millisecond
			var told []*redis.Cmd
			for range 3 {
				told = append(told, purgeScript.Eval(t.Context(), pipe, []string{"postwhere:purges"}, streamLength, version, "another", kindHost, "mail9"))
			}
			pipe.FlushAll(t.Context())
			if _, err := pipe.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, number := range told {
				if was[number.Val().(string)] {
					t.Fatalf("%s is used again", number.Val())
				}
				was[number.Val().(string)] = true
			}
		}
	})
}
