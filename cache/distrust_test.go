package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func TestOwnersOfADistrustedHostAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, nil)
		w := c.Watch()
		anna, bert, carla, dora := address(t, "anna@a.example"), address(t, "bert@a.example"), address(t, "carla@a.example"), address(t, "dora@a.example")
		c.Own(anna, yes("mail1"))
		c.Own(bert, yes("mail2"))
		kept := yes("mail1")
		kept.At = kept.At.Round(0)
		time.Sleep(time.Minute)
		c.Postpone(anna)
		w.Take()
		c.Distrust("mail1")
		if _, lost := w.Take(); !lost {
			t.Error("a watcher hears nothing of it")
		}
		c.Restore(Entry{Name{"carla", "a.example"}, kept}) // which the file brings later
		c.Own(dora, yes("mail1"))
		for _, o := range []struct {
			policy.Address
			host  string
			stale bool
		}{{anna, "mail1", true}, {bert, "mail2", false}, {carla, "mail1", true}, {dora, "mail1", false}} {
			if m := c.Recall(o.Address); m.Owner.Host != o.host || m.Stale != o.stale {
				t.Errorf("%s: %v, stale: %v", o.Address, m.Owner, m.Stale)
			}
		}
		c.Own(anna, yes("mail1"))
		if c.Recall(anna).Stale {
			t.Error("anna was asked, and is stale")
		}
		// None of them lives the longer for it.
		time.Sleep(DefaultExpire - DefaultRefresh)
		wantOwner(t, c, carla, "")
	})
}
