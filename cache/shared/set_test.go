package shared

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// The server's clock, or that of a front end beside it, is set by hours between the
// telling of an owner and the asking for him: he outlives his time by no more than it was
// set back, and is never of a time to come.
func TestOwnerOutlivesHisTimeByNoMoreThanTheClockWasSet(t *testing.T) {
	for _, set := range []time.Duration{0, 5 * time.Hour, -5 * time.Hour, 23 * time.Hour, -23 * time.Hour} {
		for _, age := range []time.Duration{0, time.Minute, 4 * time.Hour, 6 * time.Hour, 20 * time.Hour, 30 * time.Hour} {
			t.Run(fmt.Sprint(set, " after ", age), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					opt := cache.Default()
					opt.Expire = 24 * time.Hour
					c, err := cache.New(opt)
					if err != nil {
						t.Fatal(err)
					}
					reads := func(set time.Duration) reading {
						return reading{server: time.Now().Add(set).Round(0), sent: time.Now(), got: time.Now()}
					}
					anna, asked := policy.AddressOf("anna", "example.com"), time.Now()
					there := reads(0).there(asked, asked)
					time.Sleep(age)
					first, last := reads(set).here(there)
					if set == 0 && !first.Equal(asked.Round(0)) {
						t.Errorf("asked at %v, here %v", asked, first)
					}
					if age > 0 && set >= 0 && last.After(time.Now()) {
						t.Errorf("of a time to come: %v", last)
					}
					c.Adopt(cache.Entry{Name: nameOf(anna), Owner: policy.Answer{Host: "mail1", Says: policy.Yes, At: first.Round(0)}})
					for c.Recall(anna, time.Now()).Owner.Says == policy.Yes {
						if at := c.Recall(anna, time.Now()).Owner.At; at.After(time.Now()) {
							t.Errorf("he was asked at %v, and it is %v", at, time.Now())
						}
						time.Sleep(10 * time.Minute)
					}
					if lived, may := time.Since(asked), opt.Expire+max(-set, 0); age < may && lived > may+10*time.Minute {
						t.Errorf("he lived for %v, may for %v", lived, may)
					}
					if lived := time.Since(asked); age >= opt.Expire+max(-set, 0) && lived > age {
						t.Errorf("he was adopted after %v", age)
					}
				})
			})
		}
	}
}
