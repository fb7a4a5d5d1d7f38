package shared

import (
	"fmt"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// The server's clock is set, by minutes and by hours, to and fro, while front ends use it.
// No owner is younger for it, what is denied at that moment is heard as news, a purge
// reaches all within a second, and nobody learns of a no.
func TestServerWhoseClockIsSet(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, client := redisOf(t, kind.StartWithClock(t, ""))
		one, two := join(t, at), join(t, at)
		const ago = 10 * time.Minute
		bert := nameOf(address(t, "bert@example.com"))
		for i, ahead := range []time.Duration{0, 3 * time.Minute, -3 * time.Minute, 5 * time.Hour, -5 * time.Hour, 48 * time.Hour, 0} {
			domain := fmt.Sprintf("%d.example.com", i) // an owner from before a purge is not believed
			anna, carl := "anna@"+domain, "carl@"+domain
			one.isUp(t)
			two.isUp(t)
			two.Own(policy.AddressOf(bert.Local, bert.Domain), policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now().Add(-time.Minute)})
			r.SetClock(t, ahead)
			begun := time.Now()
			one.link.Deny(address(t, "bert@example.com"), begun)
			two.forgets(t, "bert@example.com")
			two.mu.Lock()
			since := two.doubted[bert]
			two.mu.Unlock()
			if off := since.Sub(begun); off < -slack || time.Since(since) < 0 {
				t.Errorf("%v ahead: a denial is heard as of %v later", ahead, off)
			}

			one.hasLearnt(t, anna, "mail1", ago)
			one.told(t)
			two.finds(t, anna, "mail1")
			if age := time.Since(two.Recall(address(t, anna), time.Now()).Owner.At); age < ago {
				t.Errorf("%v ahead: an owner of %v is one of %v", ahead, ago, age)
			}
			no := two.wasTold(t, carl)
			begun = time.Now()
			one.flushes(t, cache.Purge{Domain: domain})
			two.forgets(t, anna)
			two.refusesNot(t, carl, no)
			if took := time.Since(begun); took > time.Second+slack {
				t.Errorf("%v ahead: a purge took %v", ahead, took)
			}
			heardAll(t, client, one, two)
			one.Purge(cache.Purge{Domain: domain})
			if host := one.consults(t, anna); host != "" {
				t.Errorf("%v ahead: what was purged is at %s", ahead, host)
			}
			if answers := one.Recall(address(t, carl), time.Now()).Answers; len(answers) > 0 {
				t.Errorf("%v ahead: a no came by the server: %+v", ahead, answers)
			}
		}
	})
}

// A front end that begins while the clocks differ hears of each purge all the same.
func TestFrontEndBeginsByAnotherClock(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		for _, ahead := range []time.Duration{-26 * time.Hour, -2 * time.Minute, 2 * time.Minute, 26 * time.Hour} {
			r, at, client := redisOf(t, kind.StartWithClock(t, ""))
			r.SetClock(t, ahead)
			one, two := join(t, at), join(t, at)
			one.isUp(t)
			two.isUp(t)
			two.learns(t, "anna@example.com", "mail1")
			two.told(t)
			one.flushes(t, forgetAnna)
			two.forgets(t, "anna@example.com")
			heardAll(t, client, one, two)
			two.link.Close()
			one.flushes(t, cache.Purge{Host: "mail1"})
			past := two.link.Past()
			r.SetClock(t, -ahead)
			two = join(t, at, func(c *Config) {
				c.Past = past
				c.Cache.Own(policy.AddressOf("bert", "example.com"), policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()})
			})
			two.forgets(t, "bert@example.com")
		}
	})
}
