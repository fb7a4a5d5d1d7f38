package cache

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

func TestAdjustKeepsTheOwnersAndForgetsStrangers(t *testing.T) {
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = 1000, 1000 })
	a, b := address(t, "anna@example.com"), address(t, "nobody@example.com")
	c.Own(a, yes("mail1"))
	c.Keep(b, []policy.Answer{no("mail1")})
	opt := Default()
	if err := c.Adjust(opt); err != nil {
		t.Fatal(err)
	}
	wantOwner(t, c, a, "mail1")
	wantAnswers(t, c, b, "")
}

func TestAdjustedLifetimesCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		c.Own(a, yes("mail1"))
		time.Sleep(2 * time.Minute)
		opt := Default()
		opt.Refresh = time.Minute
		if err := c.Adjust(opt); err != nil || !c.Recall(a, time.Now()).Stale {
			t.Errorf("not stale, %v", err)
		}
		opt.Expire = time.Minute
		if err := c.Adjust(opt); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, c, a, "")
	})
}

func TestAdjustedBoundsHold(t *testing.T) {
	for _, bounds := range [][2]int{{100, 10_000}, {50_000, 10}, {100_000, 5}} {
		c := newCache(t, func(o *Options) { o.Owners, o.Strangers = bounds[0], bounds[0] })
		fill := func() {
			for i := range 20_000 {
				a := address(t, fmt.Sprintf("user%d@example.com", i))
				c.Own(a, yes("mail1"))
				c.Keep(a, []policy.Answer{no("mail2")})
			}
		}
		fill()
		opt := Default()
		opt.Owners, opt.Strangers = bounds[1], bounds[1]
		if err := c.Adjust(opt); err != nil {
			t.Fatal(err)
		}
		atMost := max(bounds[1], len(c.shards)) // one for each shard at least
		if o, s := c.Len(); o > atMost || s > 0 {
			t.Errorf("%v: %d owners, %d strangers", bounds, o, s)
		}
		fill()
		if o, s := c.Len(); o > atMost || s > atMost || o < min(atMost, 20_000)*9/10-len(c.shards) {
			t.Errorf("%v: %d owners, %d strangers afterwards", bounds, o, s)
		}
	}
}

func TestAdjustToNothingChangesNothing(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Own(a, yes("mail1"))
	for _, bad := range []Options{{Owners: 0, Strangers: 1}, {Owners: 1, Strangers: -1}} {
		if c.Adjust(bad) == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	wantOwner(t, c, a, "mail1")
}
