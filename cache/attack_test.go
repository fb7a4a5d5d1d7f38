package cache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// site is a search over three hosts in a cache that is as small as what it is to hold.
// mail2 has the mailboxes user0, user1 and so on; asked counts the questions.
func site(t testing.TB, c *Cache, mailboxes int) (s *policy.Searcher, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	has := make(map[string]bool)
	for i := range mailboxes {
		has[fmt.Sprintf("user%d", i)] = true
	}
	var hosts []*policy.Host
	for _, name := range []string{"mail1", "mail2", "mail3"} {
		hosts = append(hosts, &policy.Host{Name: name, Prober: policy.ProberFunc(func(_ context.Context, a policy.Address) policy.Answer {
			asked.Add(1)
			if name == "mail2" && has[a.Local()] {
				return yes(name)
			}
			return no(name)
		})})
	}
	d := &policy.Domain{Names: []string{"example.com"}}
	d.SetHosts(hosts)
	s = policy.NewSearcher([]*policy.Domain{d}, c, policy.Options{
		Deadline: time.Minute, PreferenceWait: time.Minute, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() { s.Close(context.Background()) })
	return s, asked
}

// The attack as it comes in: each guess is searched for and refused, by several at a
// time, while mail for the mailboxes comes in between.
func TestDictionaryAttackIsSearchedForAndPushesOutNoOwner(t *testing.T) {
	const owners, strangers, guesses, attackers = 500, 1000, 40_000, 4
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = owners, strangers })
	s, asked := site(t, c, owners)
	wants := func(local string, verdict policy.Verdict) policy.Finding {
		f, err := s.Search(context.Background(), policy.Request{Recipient: local + "@example.com"})
		if err != nil || f.Verdict != verdict {
			t.Errorf("%s: %+v, %v, want %v", local, f, err, verdict)
		}
		return f
	}
	for i := range owners {
		wants(fmt.Sprintf("user%d", i), policy.Deliver)
	}
	var attack sync.WaitGroup
	for attacker := range attackers {
		attack.Go(func() {
			for i := range guesses / attackers {
				wants(fmt.Sprintf("guess%d.%d", attacker, i), policy.Reject)
				if i%100 == 0 {
					wants(fmt.Sprintf("user%d", i/100%owners), policy.Deliver)
				}
			}
		})
	}
	attack.Wait()
	before := asked.Load()
	for i := range owners {
		if f := wants(fmt.Sprintf("user%d", i), policy.Deliver); f.Source != policy.SourceMemory {
			t.Errorf("user%d was forgotten", i)
		}
	}
	if n := asked.Load() - before; n > 0 {
		t.Errorf("hosts were asked %d questions about owners", n)
	}
	if o, st := c.Len(); o != owners || st > atMost(strangers) {
		t.Errorf("%d owners, %d strangers", o, st)
	}
}
