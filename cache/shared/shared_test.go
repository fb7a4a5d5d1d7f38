package shared

import (
	"context"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// adoptSlack is what the last digits of a time may lose.
const adoptSlack = time.Millisecond

func TestOwnerOfOneFrontEndIsKnownToTheOthers(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		one.learns(t, "Anna@example.com", "mail1")
		one.told(t)
		two.finds(t, "anna@example.com", "mail1")
		was, is := one.Recall(address(t, "anna@example.com"), time.Now()).Owner, two.Recall(address(t, "anna@example.com"), time.Now()).Owner
		if d := was.At.Sub(is.At); d < -adoptSlack || d > slack {
			t.Errorf("asked at %v here, at %v there", was.At, is.At)
		}
		is.At, was.At = time.Time{}, time.Time{}
		if is != was {
			t.Errorf("%+v here, %+v there", was, is)
		}
		life, err := client.PTTL(t.Context(), "postwhere:address:anna@example.com").Result()
		if err != nil || life <= cache.DefaultExpire-time.Minute || life > cache.DefaultExpire {
			t.Errorf("lives for %v, %v", life, err)
		}
	})
}

func TestOwnerLivesThereAsLongAsHisDomainSays(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one := join(t, at, func(cfg *Config) {
			opt := cache.Default()
			hasty := opt.Lifetimes
			hasty.Refresh, hasty.Expire = time.Minute, time.Hour
			opt.Domains = map[string]cache.Lifetimes{"example.org": hasty}
			if err := cfg.Cache.Adjust(opt); err != nil {
				t.Fatal(err)
			}
		})
		one.learns(t, "anna@example.com", "mail1")
		one.learns(t, "anna@example.org", "mail1")
		one.told(t)
		for name, want := range map[string]time.Duration{"anna@example.com": cache.DefaultExpire, "anna@example.org": time.Hour} {
			life, err := client.PTTL(t.Context(), "postwhere:address:"+name).Result()
			if err != nil || life <= want-time.Minute || life > want {
				t.Errorf("%s lives for %v, %v", name, life, err)
			}
		}
	})
}

func TestPurgeReachesAll(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		for _, test := range []struct {
			name  string
			purge cache.Purge
			stay  []string
		}{
			{"address", cache.Purge{Name: cache.Name{Local: "anna", Domain: "example.com"}}, []string{"bert@example.com", "bert@example.org"}},
			{"domain", cache.Purge{Domain: "example.com"}, []string{"bert@example.org"}},
			{"host", cache.Purge{Host: "mail1"}, []string{"bert@example.com", "bert@example.org"}},
			{"strangers", cache.Purge{Strangers: true}, []string{"anna@example.com", "bert@example.com", "bert@example.org"}},
			{"all", cache.Purge{All: true}, nil},
		} {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				_, at, client := redisAt(t, kind, "")
				all := []*frontEnd{join(t, at), join(t, at), join(t, at)}
				for mailbox, host := range map[string]string{"anna@example.com": "mail1", "bert@example.com": "mail2", "bert@example.org": "mail2"} {
					all[0].learns(t, mailbox, host)
					all[0].told(t)
					for _, f := range all {
						f.finds(t, mailbox, host)
					}
				}
				stranger := address(t, "nobody@example.com")
				for _, f := range all {
					f.Keep(stranger, []policy.Answer{{Host: "mail1", Says: policy.No, At: time.Now()}})
				}
				all[0].Purge(test.purge)
				begun := time.Now()
				if err := all[0].link.Purge(t.Context(), test.purge); err != nil {
					t.Fatal(err)
				}
				for _, f := range all[1:] {
					f.log.waits(t, 1, "memory is flushed at another front end")
				}
				if took := time.Since(begun); took > time.Second {
					t.Errorf("took %v", took)
				}
				left, err := client.Keys(t.Context(), "postwhere:address:*").Result()
				if err != nil || len(left) != len(test.stay) {
					t.Errorf("left: %v, %v", left, err)
				}
				for i, f := range all {
					if owners, _ := f.Len(); owners != len(test.stay) {
						t.Errorf("front end %d has %d owners, want %d", i, owners, len(test.stay))
					}
					for _, mailbox := range test.stay {
						f.finds(t, mailbox, map[bool]string{true: "mail1", false: "mail2"}[mailbox == "anna@example.com"])
					}
					if left := f.Recall(stranger, time.Now()).Answers; len(left) > 0 != (test.name == "address") {
						t.Errorf("front end %d: strangers %v", i, left)
					}
				}
				all[0].log.wants(t, 0, "at another")
			})
		}
	})
}

func TestDenialReachesAll(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, _ := redisAt(t, kind, "")
		one, two, three := join(t, at), join(t, at), join(t, at)
		one.hasLearnt(t, "anna@example.com", "mail1", 2*slack)
		one.told(t)
		two.finds(t, "anna@example.com", "mail1")
		anna, denied := address(t, "anna@example.com"), time.Now()
		one.Disown(anna)
		one.link.Deny(anna, denied)
		if host := one.consults(t, "anna@example.com"); host != "" {
			t.Errorf("she is back at %s before the others are told", host)
		}
		two.forgets(t, "anna@example.com")
		two.mu.Lock()
		since := two.doubted[nameOf(anna)]
		two.mu.Unlock()
		if since.Sub(denied).Abs() > slack {
			t.Errorf("in doubt since %v, want %v", since, denied)
		}
		if !realhost.Eventually(func() bool { // on a busy machine it may not be answered in time
			since = three.link.Consult(context.Background(), anna, func(policy.Answer) bool { return true })
			return !since.IsZero()
		}) || since.Sub(denied).Abs() > slack {
			t.Errorf("consulted: in doubt since %v, want %v", since, denied)
		}
		// Who has found her since is not told otherwise. Both front ends' readings of the
		// server's clock are exact to less than that.
		denied = denied.Add(-slack)
		two.learns(t, "anna@example.com", "mail2")
		two.told(t)
		one.link.Deny(anna, denied)
		one.told(t)
		three.finds(t, "anna@example.com", "mail2")
	})
}
