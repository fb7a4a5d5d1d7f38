package cache

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// early returns the part of a lifetime that every entry has; see shortened.
func early(d time.Duration) time.Duration { return d / 10 * 9 }

func newCache(t testing.TB, change func(*Options)) *Cache {
	t.Helper()
	opt := Default()
	if change != nil {
		change(&opt)
	}
	c, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func address(t testing.TB, s string) policy.Address {
	t.Helper()
	a, err := policy.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func yes(host string) policy.Answer {
	return policy.Answer{
		Host: host, Says: policy.Yes, Method: "vrfy", At: time.Now(),
		Reply: policy.Reply{Code: 252, Enhanced: "2.0.0", Text: "anna@example.com"}, Took: 3 * time.Millisecond,
	}
}

func no(host string) policy.Answer {
	return policy.Answer{
		Host: host, Says: policy.No, Method: "vrfy", At: time.Now(),
		Reply: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "<anna@example.com>: Recipient address rejected: User unknown"},
	}
}

func unsure(host string) policy.Answer { return policy.UnsureOf(host, "connection refused") }

// says returns what a memo has of the strangers' answers, for comparison.
func says(m policy.Memo) string {
	words := make([]string, len(m.Answers))
	for i, a := range m.Answers {
		words[i] = a.String()
	}
	return strings.Join(words, ",")
}

func wantOwner(t *testing.T, c *Cache, a policy.Address, host string) {
	t.Helper()
	if o := c.Recall(a, time.Now()).Owner; o.Host != host || (o.Says == policy.Yes) != (host != "") {
		t.Errorf("owner of %s: got %v, want host %q", a, o, host)
	}
}

func wantAnswers(t *testing.T, c *Cache, a policy.Address, want string) {
	t.Helper()
	if got := says(c.Recall(a, time.Now())); got != want {
		t.Errorf("answers about %s: got %q, want %q", a, got, want)
	}
}

func TestOwnerComesBackAsHeWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		given := yes("mail1")
		given.Weak = true
		c.Own(a, given)
		time.Sleep(time.Minute)
		got := c.Recall(a, time.Now())
		if got.Stale || got.Answers != nil || !got.Owner.At.Equal(given.At) || time.Since(got.Owner.At) != time.Minute {
			t.Errorf("got %+v", got)
		}
		want := given
		want.Reply.Text = "" // not kept
		want.At = got.Owner.At
		if got.Owner != want {
			t.Errorf("got %+v, want %+v", got.Owner, want)
		}
	})
}

func TestOwnerIsFoundByEverySpelling(t *testing.T) {
	c := newCache(t, nil)
	c.Own(address(t, "Anna.Älv@example.com"), yes("mail1"))
	for _, s := range []string{"anna.älv@example.com", "ANNA.ÄLV@Example.COM", `"anna.älv"@example.com.`} {
		wantOwner(t, c, address(t, s), "mail1")
	}
	for _, s := range []string{"anna.alv@example.com", "anna.älv@example.net", "anna.äl@vexample.com"} {
		wantOwner(t, c, address(t, s), "")
	}
}

func TestOwnerIsStaleAfterRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		c.Own(a, yes("mail1"))
		time.Sleep(early(DefaultRefresh))
		if c.Recall(a, time.Now()).Stale {
			t.Error("stale before his time")
		}
		time.Sleep(DefaultRefresh - early(DefaultRefresh))
		if !c.Recall(a, time.Now()).Stale {
			t.Error("not stale after Refresh")
		}
		wantOwner(t, c, a, "mail1")
		c.Own(a, yes("mail1"))
		if c.Recall(a, time.Now()).Stale {
			t.Error("stale though he just said yes")
		}
	})
}

func TestOwnerIsForgottenAfterExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		c.Own(a, yes("mail1"))
		time.Sleep(early(DefaultExpire))
		wantOwner(t, c, a, "mail1")
		time.Sleep(DefaultExpire - early(DefaultExpire))
		wantOwner(t, c, a, "")
		if n, _ := c.Len(); n != 0 {
			t.Errorf("%d owners take up room", n)
		}
	})
}

func TestPostponedOwnerIsNotStaleForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		c.Own(a, yes("mail1"))
		time.Sleep(DefaultRefresh)
		c.Postpone(a)
		if c.Recall(a, time.Now()).Stale {
			t.Error("stale just after Postpone")
		}
		time.Sleep(early(DefaultUnsure))
		if c.Recall(a, time.Now()).Stale {
			t.Error("stale before the lifetime of an Unsure")
		}
		time.Sleep(DefaultUnsure - early(DefaultUnsure))
		if !c.Recall(a, time.Now()).Stale {
			t.Error("Postpone lasts too long")
		}
	})
}

func TestPostponeNeverLengthensALife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		c.Own(a, yes("mail1"))
		for range 8 * 24 {
			c.Postpone(a)
			time.Sleep(time.Hour)
		}
		wantOwner(t, c, a, "")
		c.Postpone(a)
		wantOwner(t, c, a, "")
	})
}

func TestDisownedOwnerIsForgotten(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Own(a, yes("mail1"))
	c.Disown(address(t, "Anna@example.com"))
	c.Postpone(a)
	wantOwner(t, c, a, "")
}

func TestUnsureNeverOverwritesOwner(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Own(a, yes("mail1"))
	for _, answers := range [][]policy.Answer{nil, {unsure("mail1")}, {no("mail1"), no("mail2")}, {yes("mail2")}} {
		c.Keep(a, answers)
		wantOwner(t, c, a, "mail1")
	}
	c.Own(a, no("mail2"))
	c.Own(a, unsure("mail2"))
	c.Own(a, policy.Answer{Host: "mail2", At: time.Now()})
	wantOwner(t, c, a, "mail1")
}

func TestOwnDropsWhatWasKept(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Keep(a, []policy.Answer{no("mail1"), unsure("mail2")})
	c.Own(a, yes("mail2"))
	wantAnswers(t, c, a, "")
	c.Disown(a)
	wantAnswers(t, c, a, "")
}

func TestForgetStrangersLeavesOwners(t *testing.T) {
	c := newCache(t, func(o *Options) { o.Strangers, o.Owners = 1<<15, 1<<16 })
	if len(c.shards) < 2 {
		t.Fatal("want a cache of several shards")
	}
	for i := range 1000 {
		c.Own(address(t, fmt.Sprintf("user%d@example.com", i)), yes("mail1"))
		c.Keep(address(t, fmt.Sprintf("nobody%d@example.com", i)), []policy.Answer{no("mail1")})
	}
	c.ForgetStrangers()
	if owners, strangers := c.Len(); owners != 1000 || strangers != 0 {
		t.Errorf("%d owners, %d strangers", owners, strangers)
	}
	wantAnswers(t, c, address(t, "nobody1@example.com"), "")
	wantOwner(t, c, address(t, "user1@example.com"), "mail1")
}

func TestLifetimeOfNothingKeepsNothing(t *testing.T) {
	c, a := newCache(t, func(o *Options) { o.Lifetimes = Lifetimes{Unsure: -1} }), address(t, "anna@example.com")
	c.Own(a, yes("mail1"))
	c.Keep(a, []policy.Answer{no("mail1"), unsure("mail2")})
	if owners, strangers := c.Len(); owners != 0 || strangers != 0 {
		t.Errorf("%d owners, %d strangers", owners, strangers)
	}
}

func TestNewNamesTheOptionItCannotHave(t *testing.T) {
	for name, opt := range map[string]Options{"owners": {Owners: 0, Strangers: 1}, "strangers": {Owners: 1, Strangers: -1}} {
		if _, err := New(opt); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
