package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func adopted(local, host string, at time.Time) Entry {
	return Entry{Name{local, "example.com"}, policy.Answer{Host: host, Says: policy.Yes, At: at}}
}

func ownerOf(c *Cache, local string) policy.Memo {
	return c.Recall(policy.AddressOf(local, "example.com"), time.Now())
}

func TestAdoptedOwnerLivesAsOneThatWasLearntHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		w := c.Watch()
		at := time.Now()
		time.Sleep(10 * time.Minute)
		c.Adopt(adopted("anna", "mail1", at.Round(0)))
		m := ownerOf(c, "ANNA")
		if m.Owner.Host != "mail1" || m.Stale || !m.Owner.At.Equal(at) {
			t.Errorf("%+v", m)
		}
		if !w.has(Name{"anna", "example.com"}) {
			t.Error("no watcher sees her: she is not on the disk")
		}
		time.Sleep(DefaultRefresh - 10*time.Minute)
		if m := ownerOf(c, "anna"); !m.Stale {
			t.Error("not stale after an hour")
		}
		time.Sleep(DefaultExpire - DefaultRefresh)
		if m := ownerOf(c, "anna"); m.Owner.Says != policy.Unasked {
			t.Error("lives longer than a week")
		}
	})
}

func TestAdoptKnowsNothingBetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.Sleep(DefaultExpire)
		now := time.Now()
		c.Own(policy.AddressOf("anna", "example.com"), policy.Answer{Host: "mail1", Says: policy.Yes, At: now})
		c.Adopt(adopted("anna", "mail2", now.Add(-time.Second)))
		if m := ownerOf(c, "anna"); m.Owner.Host != "mail1" {
			t.Errorf("an older yes counts more: %+v", m)
		}
		c.Adopt(adopted("bert", "mail1", now.Add(time.Second)))
		c.Adopt(adopted("carl", "mail1", start))
		c.Adopt(Entry{Name{"dora", "example.com"}, policy.Answer{Host: "mail1", Says: policy.No, At: now}})
		for _, local := range []string{"bert", "carl", "dora"} {
			if m := ownerOf(c, local); m.Owner.Says != policy.Unasked {
				t.Errorf("%s: %+v", local, m)
			}
		}
		time.Sleep(time.Second)
		c.Purge(Purge{Domain: "example.com"})
		c.Adopt(adopted("emil", "mail1", now))
		if m := ownerOf(c, "emil"); m.Owner.Says != policy.Unasked {
			t.Errorf("from before a purge: %+v", m)
		}
		at := time.Now()
		time.Sleep(time.Second)
		c.Distrust("mail9", time.Now())
		c.Adopt(adopted("fritz", "mail9", at))
		if m := ownerOf(c, "fritz"); m.Owner.Host != "mail9" || !m.Stale {
			t.Errorf("of a host that is another now: %+v", m)
		}
	})
}

// An owner who comes back from outside is no news: that he could not be asked again is
// remembered.
func TestAdoptOfWhatIsKnownChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		anna, asked := policy.AddressOf("anna", "example.com"), time.Now()
		c.Own(anna, policy.Answer{Host: "mail1", Says: policy.Yes, At: asked})
		time.Sleep(DefaultRefresh)
		c.Postpone(anna)
		c.Adopt(adopted("anna", "mail1", asked.Add(time.Microsecond)))
		if m := ownerOf(c, "anna"); m.Stale {
			t.Error("she is asked again and again")
		}
	})
}

func TestAbandonSparesWhoWasAskedSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Default())
		if err != nil {
			t.Fatal(err)
		}
		w := c.Watch()
		anna, n := policy.AddressOf("anna", "example.com"), Name{"anna", "example.com"}
		asked := time.Now()
		c.Own(anna, policy.Answer{Host: "mail1", Says: policy.Yes, At: asked})
		time.Sleep(time.Second)
		c.Abandon(n, asked.Add(-time.Millisecond))
		if m := ownerOf(c, "anna"); m.Owner.Host != "mail1" {
			t.Error("she was asked since")
		}
		w.Take()
		c.Abandon(n, asked.Round(0))
		if m := ownerOf(c, "anna"); m.Owner.Says != policy.Unasked {
			t.Errorf("%+v", m)
		}
		if !w.has(n) {
			t.Error("no watcher sees that she is gone")
		}
	})
}
