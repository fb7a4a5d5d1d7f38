package cache

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postwhere/policy"
)

// Whoever takes note of the changes knows at each time what the cache knows: the
// owners that he would have, had he looked at all of them.
func TestChangesTellOfAllThatChanges(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := newCache(t, func(o *Options) { o.Owners, o.Strangers = 5, 5 })
		w, known := c.Watch(), make(map[Name]string)
		names := rapid.SampledFrom([]string{"anna", "Anna", "bert", "carla", "dora", "emil", "franziska.with.a.very.long.name", "gert", "hugo"})
		r.Repeat(map[string]func(*rapid.T){
			"own": func(r *rapid.T) {
				host := fmt.Sprintf("mail%d", rapid.IntRange(1, 3).Draw(r, "host"))
				c.Own(address(t, names.Draw(r, "name")+"@example.com"), yes(host))
			},
			"disown": func(r *rapid.T) { c.Disown(address(t, names.Draw(r, "name")+"@example.com")) },
			"recall": func(r *rapid.T) { c.Recall(address(t, names.Draw(r, "name")+"@example.com"), time.Now()) },
			"keep": func(r *rapid.T) {
				c.Keep(address(t, names.Draw(r, "name")+"@example.com"), []policy.Answer{no("mail1")})
			},
			"adjust": func(r *rapid.T) {
				opt := Default()
				opt.Owners, opt.Strangers = rapid.IntRange(1, 6).Draw(r, "owners"), 5
				if err := c.Adjust(opt); err != nil {
					r.Fatal(err)
				}
			},
			"": func(r *rapid.T) {
				changed, lost := w.Take()
				if lost {
					r.Fatal("so few cannot be lost")
				}
				for n := range changed {
					if e, ok := c.Look(n); ok {
						known[n] = e.Owner.Host
					} else {
						delete(known, n)
					}
				}
				all := make(map[Name]string)
				for e := range c.Owners() {
					all[e.Name] = e.Owner.Host
				}
				if !maps.Equal(known, all) {
					r.Fatalf("known are %v, and there are %v", known, all)
				}
			},
		})
	})
}

func TestNamesThatAreGivenBackAreTakenAgain(t *testing.T) {
	c := newCache(t, nil)
	w := c.Watch()
	c.Own(address(t, "anna@example.com"), yes("mail1"))
	names, lost := w.Take()
	c.Own(address(t, "bert@example.com"), yes("mail1"))
	w.GiveBack(names, lost)
	if names, lost = w.Take(); len(names) != 2 || lost {
		t.Errorf("%v, %v", names, lost)
	}
	w.GiveBack(names, true)
	c.Own(address(t, "carla@example.com"), yes("mail1"))
	if names, lost = w.Take(); len(names) != 0 || !lost {
		t.Errorf("%v, %v", names, lost)
	}
	c.Unwatch(w)
	c.Own(address(t, "dora@example.com"), yes("mail1"))
	if names, _ = w.Take(); len(names) != 0 {
		t.Errorf("%v", names)
	}
}

func TestWhatIsRestoredIsLookedAt(t *testing.T) {
	c := newCache(t, nil)
	n := Name{"anna", "example.com"}
	old, now := yes("mail1"), yes("mail2")
	old.At = time.Now().Round(0).Add(-time.Hour)
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"of a time to come", func() {
			late := now
			late.At = late.At.Add(time.Minute)
			c.Restore(Entry{n, late})
		}, ""},
		{"too old", func() {
			expired := old
			expired.At = expired.At.Add(-DefaultExpire)
			c.Restore(Entry{n, expired})
		}, ""},
		{"no yes", func() { c.Restore(Entry{n, no("mail1")}) }, ""},
		{"an owner", func() { c.Restore(Entry{n, old}) }, "mail1"},
		{"a later one", func() { c.Restore(Entry{n, now}) }, "mail2"},
		{"the first again", func() { c.Restore(Entry{n, old}) }, "mail2"},
		{"gone, but before", func() { c.Withdraw(n, old.At) }, "mail2"},
		{"gone", func() { c.Withdraw(n, time.Now()) }, ""},
	} {
		step.do()
		if e, ok := c.Look(n); e.Owner.Host != step.want || ok != (step.want != "") {
			t.Errorf("%s: got %v, %v, want %q", step.what, e, ok, step.want)
		}
	}
}
