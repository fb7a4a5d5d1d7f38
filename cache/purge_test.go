package cache

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// filled is a cache with owners and strangers of two domains.
func filled(t *testing.T) *Cache {
	t.Helper()
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = 50_000, 50_000 })
	for _, domain := range []string{"a.example", "b.example"} {
		c.Own(address(t, "Anna@"+domain), yes("mail1"))
		c.Own(address(t, "bert@"+domain), yes("mail2"))
		c.Keep(address(t, "carla@"+domain), []policy.Answer{no("mail1"), no("mail2")})
		c.Keep(address(t, "CARLA@"+domain), []policy.Answer{no("mail1")})
	}
	return c
}

// remembered returns what a cache has, in order.
func remembered(c *Cache) (all []string) {
	for e := range c.Owners() {
		all = append(all, e.Local+"@"+e.Domain)
	}
	for st := range c.Strangers() {
		all = append(all, "no "+st.Local+"@"+st.Domain)
	}
	slices.Sort(all)
	return all
}

func TestNoFromBeforeAPurgeIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, b := newCache(t, nil), address(t, "Anna@a.example"), address(t, "bert@a.example")
		before := []policy.Answer{no("mail1")}
		want := func(purged bool, a policy.Address, answers ...policy.Answer) {
			t.Helper()
			if got := c.Purged(a, answers); got != purged {
				t.Errorf("%s: %v, want %v", a, got, purged)
			}
		}
		want(false, a, before...)
		time.Sleep(time.Second)
		c.Purge(Purge{Name: Name{"anna", "a.example"}})
		want(true, a, before...)
		want(true, a, no("mail2"), before[0])
		want(false, a, no("mail1"))
		want(false, b, before...)
		if n := testing.AllocsPerRun(100, func() { c.Purged(a, before) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
		time.Sleep(time.Second)
		c.Purge(Purge{Strangers: true})
		want(true, b, before...)
		time.Sleep(purgeLife + time.Second) // no search and no connection lasts so long
		want(false, b, before...)
	})
}

func TestPurgeForgetsJustThat(t *testing.T) {
	a := []string{"anna@a.example", "bert@a.example", "no CARLA@a.example", "no carla@a.example"}
	b := []string{"anna@b.example", "bert@b.example", "no CARLA@b.example", "no carla@b.example"}
	without := func(gone ...string) []string {
		all := slices.DeleteFunc(append(slices.Clone(a), b...), func(s string) bool { return slices.Contains(gone, s) })
		slices.Sort(all)
		return all
	}
	for _, p := range []struct {
		Purge
		left              []string
		owners, strangers int
	}{
		{Purge{Name: Name{"ANNA", "a.example"}}, without("anna@a.example"), 1, 0},
		{Purge{Name: Name{"carla", "b.example"}}, without("no CARLA@b.example", "no carla@b.example"), 0, 2},
		{Purge{Name: Name{"dora", "b.example"}}, without(), 0, 0},
		{Purge{Domain: "a.example"}, without(a...), 2, 2},
		{Purge{Domain: "example"}, without(), 0, 0},
		{Purge{Host: "mail2"}, without("bert@a.example", "bert@b.example", "no carla@a.example", "no carla@b.example"), 2, 2},
		{Purge{Strangers: true}, without(a[2], a[3], b[2], b[3]), 0, 4},
		{Purge{All: true}, nil, 4, 4},
	} {
		c := filled(t)
		owners, strangers := c.Purge(p.Purge)
		if got := remembered(c); !slices.Equal(got, p.left) || owners != p.owners || strangers != p.strangers {
			t.Errorf("%+v: left %v, want %v; %d owners, %d strangers", p.Purge, got, p.left, owners, strangers)
		}
	}
}

// A search was under way when its address was purged: what it finds is not
// remembered, and what a later one finds is.
func TestAnswersFromBeforeAPurgeAreNotRemembered(t *testing.T) {
	for _, p := range []Purge{{Name: Name{"anna", "a.example"}}, {Domain: "a.example"}, {Host: "mail1"}, {All: true}, {Strangers: true}} {
		synctest.Test(t, func(t *testing.T) {
			c, a := newCache(t, nil), address(t, "Anna@a.example")
			other := address(t, "bert@b.example")
			old, oldNo := yes("mail1"), []policy.Answer{no("mail1"), no("mail2")}
			otherYes, otherNo := yes("mail2"), []policy.Answer{no("mail2")}
			time.Sleep(time.Second)
			c.Purge(p)
			c.Keep(a, oldNo)
			wantAnswers(t, c, a, "")
			c.Own(a, old)
			if !p.Strangers {
				wantOwner(t, c, a, "")
			}
			c.Restore(Entry{Name{"anna", "a.example"}, old}) // as it comes from outside
			if !p.Strangers {
				wantOwner(t, c, a, "")
			}
			if !p.All && !p.Strangers {
				c.Keep(other, otherNo)
				wantAnswers(t, c, other, "mail2:no")
				c.Own(other, otherYes)
				wantOwner(t, c, other, "mail2")
			}
			time.Sleep(time.Second)
			c.Disown(a)
			c.Keep(a, []policy.Answer{no("mail1"), no("mail2")})
			wantAnswers(t, c, a, "mail1:no,mail2:no")
			c.Own(a, yes("mail1"))
			wantOwner(t, c, a, "mail1")
		})
	}
}

// A provisioning system may purge address after address: what is known of that is
// bounded, and nothing from before is remembered for it.
func TestManyPurgesAreRemembered(t *testing.T) {
	c := newCache(t, nil)
	old := yes("mail1")
	time.Sleep(time.Millisecond)
	for i := range 2*maxPurgedNames + 10 {
		c.Purge(Purge{Name: Name{fmt.Sprintf("user%d", i), "example.com"}})
		if len(c.purges.names) > maxPurgedNames {
			t.Fatalf("%d names", len(c.purges.names))
		}
	}
	for _, i := range []int{0, maxPurgedNames, 2 * maxPurgedNames} {
		a := address(t, fmt.Sprintf("user%d@example.com", i))
		c.Own(a, old)
		wantOwner(t, c, a, "")
	}
	for range 2 * maxPurges {
		c.Purge(Purge{Strangers: true})
	}
	if n := len(c.purges.others); n > maxPurges {
		t.Errorf("%d purges", n)
	}
}

// Else they would be deferred, and not asked for, as long as they live.
func TestStrangersFromBeforeTooManyPurgesAreForgotten(t *testing.T) {
	c, a := newCache(t, nil), address(t, "nobody@example.com")
	c.Keep(a, []policy.Answer{no("mail1")})
	for range maxPurges + 1 {
		c.Purge(Purge{Host: "mail2"})
	}
	if m := c.Recall(a, time.Now()); c.Purged(a, m.Answers) {
		t.Errorf("%v are remembered, and not to be believed", m.Answers)
	}
	c.Keep(a, []policy.Answer{no("mail1")})
	if m := c.Recall(a, time.Now()); len(m.Answers) != 1 {
		t.Error("what was asked since is not remembered")
	}
}

// A flush of one address looks at all strangers of its shard, of which there may be many.
func TestLookUpsGoOnDuringAFlushOfAnAddress(t *testing.T) {
	c := newCache(t, func(opt *Options) { opt.Owners, opt.Strangers = 1, 100_000 })
	for i := range 100_000 {
		c.Keep(policy.AddressOf(fmt.Sprint("stranger", i), "example.com"), []policy.Answer{no("mail1")})
	}
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		if _, strangers := c.Purge(Purge{Name: Name{"Stranger1", "example.com"}}); strangers != 1 {
			t.Errorf("%d strangers", strangers)
		}
	}()
	for old := []policy.Answer{{At: time.Now().Add(-time.Second)}}; !c.Purged(address(t, "stranger1@example.com"), old); {
		runtime.Gosched() // it has not begun
	}
	for n := 0; ; n++ {
		select {
		case <-flushed:
			if n < 50 {
				t.Errorf("%d look-ups meanwhile", n)
			}
			return
		default:
			c.Recall(address(t, "stranger2@example.com"), time.Now())
		}
	}
}

func TestWatcherHearsOfPurges(t *testing.T) {
	c := filled(t)
	w := c.Watch()
	c.Purge(Purge{Name: Name{"anna", "a.example"}})
	c.Purge(Purge{Name: Name{"unknown", "a.example"}}) // here
	c.Purge(Purge{Strangers: true})
	if names, lost := w.Take(); len(names) != 2 || lost {
		t.Errorf("%v, %v", names, lost)
	}
	c.Purge(Purge{Domain: "c.example"}) // of which more may be known outside
	if _, lost := w.Take(); !lost {
		t.Error("nothing")
	}
}

func TestStrangersAreThoseThatLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t, nil)
		c.Keep(address(t, "anna@a.example"), []policy.Answer{no("mail1"), unsure("mail2")})
		for _, want := range []int{2, 1, 0} {
			n := 0
			for st := range c.Strangers() {
				n = len(st.Answers)
			}
			if n != want {
				t.Errorf("%d answers, want %d", n, want)
			}
			time.Sleep(DefaultUnsure + time.Duration(2-want)*DefaultNo)
		}
	})
}
