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
		c.Distrust("mail1", time.Now())
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
			if m := c.Recall(o.Address, time.Now()); m.Owner.Host != o.host || m.Stale != o.stale {
				t.Errorf("%s: %v, stale: %v", o.Address, m.Owner, m.Stale)
			}
		}
		c.Own(anna, yes("mail1"))
		if c.Recall(anna, time.Now()).Stale {
			t.Error("anna was asked, and is stale")
		}
		// None of them lives the longer for it.
		time.Sleep(DefaultExpire - DefaultRefresh)
		wantOwner(t, c, carla, "")
	})
}

// A yes of the old machine's that comes in afterwards is one to be asked again, too.
func TestLateYesOfADistrustedHostIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, nil)
		anna, late := address(t, "anna@a.example"), yes("mail1")
		time.Sleep(time.Second)
		c.Distrust("mail1", time.Now())
		if c.Own(anna, late); !c.Recall(anna, time.Now()).Stale || !c.Distrusts(late) {
			t.Error("the old machine is believed")
		}
		if c.Own(anna, yes("mail1")); c.Recall(anna, time.Now()).Stale || c.Distrusts(yes("mail1")) {
			t.Error("the new machine is not believed")
		}
	})
}

// What is distrusted is so over a restart, and no more than that.
func TestDistrustOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, nil)
		anna, bert := address(t, "anna@a.example"), address(t, "bert@a.example")
		early := Entry{Name{"anna", "a.example"}, yes("mail1")}
		early.Owner.At = early.Owner.At.Round(0)
		time.Sleep(time.Minute)
		c.Distrust("mail1", time.Now())
		time.Sleep(time.Minute)
		c.Own(bert, yes("mail1"))
		kept := c.Distrusted()

		c = newCache(t, nil)
		c.Watch() // who is about to restore them
		c.Own(bert, yes("mail1"))
		for host, since := range kept {
			c.Distrust(host, since)
		}
		c.Restore(early)
		if !c.Recall(anna, time.Now()).Stale || c.Recall(bert, time.Now()).Stale {
			t.Errorf("anna: %+v, bert: %+v", c.Recall(anna, time.Now()), c.Recall(bert, time.Now()))
		}
		early.Owner.At = early.Owner.At.Add(time.Second)
		c.Adopt(early) // what another front end has of her is as old
		if !c.Recall(anna, time.Now()).Stale {
			t.Error("the other front end's is believed")
		}
		c.Distrust("mail1", time.Now().Add(time.Hour)) // the clock was set back
		if c.Own(bert, yes("mail1")); c.Recall(bert, time.Now()).Stale {
			t.Error("the host is never believed again")
		}
		time.Sleep(DefaultExpire)
		if left := c.Distrusted(); len(left) != 0 {
			t.Errorf("kept for too long: %v", left)
		}
	})
}
