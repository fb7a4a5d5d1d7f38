package shared

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// reaches has a front end reach all hosts in a way.
func reaches(way *atomic.Value) func(*Config) {
	return func(c *Config) { c.Endpoint = func(string) string { return way.Load().(string) } }
}

// way is one in which hosts are reached.
func way(text string) *atomic.Value {
	v := &atomic.Value{}
	v.Store(text)
	return v
}

// Two front ends mean two machines by the name of one host: the one's owner is none of
// the other's, which does not refuse the mailbox for a while.
func TestOwnerOfAnotherMachineIsNotBelieved(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, _ := redisAt(t, kind, "")
		one, two, three := join(t, at, reaches(way("old"))), join(t, at, reaches(way("new"))), join(t, at, reaches(way("old")))
		one.learns(t, "anna@example.com", "mail1")
		one.told(t)
		three.finds(t, "anna@example.com", "mail1")
		anna, doubted := address(t, "anna@example.com"), time.Time{}
		if !realhost.Eventually(func() bool { // on a busy machine it may not be answered in time
			doubted = two.link.Consult(context.Background(), anna, func(policy.Answer) bool {
				t.Error("the old machine is believed")
				return false
			})
			return !doubted.IsZero()
		}) || time.Since(doubted) > time.Minute {
			t.Errorf("in doubt since %v", doubted)
		}
		two.learns(t, "anna@example.com", "mail1")
		two.told(t)
		if host := two.consults(t, "anna@example.com"); host != "mail1" {
			t.Errorf("at %q", host)
		}
	})
}

// What was found before the host became another machine is not told as the other's.
func TestOwnerOfTheOldMachineIsNotToldAsTheNewOnes(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, client := redisAt(t, kind, "")
		is := way("old")
		f := join(t, at, reaches(is))
		r.Stop(t)
		f.wantAlone(t)
		f.learns(t, "anna@example.com", "mail1")
		f.Distrust("mail1", time.Now())
		is.Store("new")
		f.learns(t, "bert@example.com", "mail1")
		r.Start(t)
		f.told(t)
		if text := client.Get(t.Context(), "postwhere:address:anna@example.com").Val(); text != "" {
			t.Errorf("anna: %s", text)
		}
		if text := client.Get(t.Context(), "postwhere:address:bert@example.com").Val(); !strings.Contains(text, `"endpoint":"new"`) {
			t.Errorf("bert: %s", text)
		}
	})
}
