package cache

import (
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// A hasty domain, and the default lifetimes for all others.
const hasty = "hasty.example"

var hastyLife = Lifetimes{Refresh: time.Minute, Expire: 10 * time.Minute, No: 20 * time.Second, Unsure: 2 * time.Second}

func withHasty(o *Options) { o.Domains = map[string]Lifetimes{hasty: hastyLife} }

// inBothDomains runs a test of a rule for an address of each, and the lifetimes that
// are to hold for it.
func inBothDomains(t *testing.T, rule func(*testing.T, *Cache, policy.Address, Lifetimes)) {
	for domain, life := range map[string]Lifetimes{hasty: hastyLife, "example.com": Default().Lifetimes} {
		t.Run(domain, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { rule(t, newCache(t, withHasty), address(t, "anna@"+domain), life) })
		})
	}
}

func TestDomainsOwnerIsStaleAfterItsRefresh(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		c.Own(a, yes("mail1"))
		time.Sleep(early(life.Refresh))
		if c.Recall(a, time.Now()).Stale {
			t.Error("stale before his time")
		}
		time.Sleep(life.Refresh - early(life.Refresh))
		if m := c.Recall(a, time.Now()); !m.Stale || m.Owner.Host != "mail1" {
			t.Errorf("got %+v", m)
		}
	})
}

func TestDomainsOwnerIsForgottenAfterItsExpire(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		c.Own(a, yes("mail1"))
		time.Sleep(early(life.Expire))
		wantOwner(t, c, a, "mail1")
		time.Sleep(life.Expire - early(life.Expire))
		if _, ok := c.Look(Name{a.Local(), a.Domain()}); ok {
			t.Error("he can be looked at")
		}
		for e := range c.Owners() {
			t.Errorf("he is among the owners: %v", e)
		}
		wantOwner(t, c, a, "")
	})
}

func TestDomainsNoIsForgottenAfterItsExpire(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		c.Keep(a, []policy.Answer{no("mail1")})
		time.Sleep(early(life.No))
		wantAnswers(t, c, a, "mail1:no")
		time.Sleep(life.No - early(life.No))
		for st := range c.Strangers() {
			t.Errorf("it is among the strangers: %v", st)
		}
		wantAnswers(t, c, a, "")
	})
}

// The no that is left when the unsure is forgotten lives no longer for it.
func TestDomainsUnsureIsForgottenAfterItsExpire(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		c.Keep(a, []policy.Answer{no("mail1"), unsure("mail2")})
		time.Sleep(early(life.Unsure))
		wantAnswers(t, c, a, "mail1:no,mail2:unsure")
		time.Sleep(life.Unsure - early(life.Unsure))
		wantAnswers(t, c, a, "mail1:no")
		time.Sleep(life.No - life.Unsure)
		wantAnswers(t, c, a, "")
	})
}

func TestDomainsPostponedOwnerIsNotStaleForItsUnsure(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		c.Own(a, yes("mail1"))
		time.Sleep(life.Refresh)
		c.Postpone(a)
		time.Sleep(early(life.Unsure))
		if c.Recall(a, time.Now()).Stale {
			t.Error("stale too early")
		}
		time.Sleep(life.Unsure - early(life.Unsure))
		if !c.Recall(a, time.Now()).Stale {
			t.Error("Postpone lasts too long")
		}
	})
}

func TestDomainsAnswersThatAreTooOldAreNotRemembered(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		old := func(answer policy.Answer, age time.Duration) policy.Answer {
			answer.At = time.Now().Add(-age)
			return answer
		}
		c.Own(a, old(yes("mail1"), life.Expire))
		c.Restore(Entry{Name{a.Local(), a.Domain()}, old(yes("mail1"), life.Expire)})
		c.Adopt(Entry{Name{a.Local(), a.Domain()}, old(yes("mail1"), life.Expire)})
		c.Keep(a, []policy.Answer{old(no("mail1"), life.No), old(unsure("mail2"), life.Unsure)})
		if owners, strangers := c.Len(); owners != 0 || strangers != 0 {
			t.Errorf("%d owners, %d strangers", owners, strangers)
		}
		c.Restore(Entry{Name{a.Local(), a.Domain()}, old(yes("mail1"), early(life.Expire)-1)})
		wantOwner(t, c, a, "mail1")
	})
}

func TestDomainsOwnerOfATimeToComeOrOfADistrustedHostIsStale(t *testing.T) {
	inBothDomains(t, func(t *testing.T, c *Cache, a policy.Address, life Lifetimes) {
		future := yes("mail1")
		future.At = time.Now().Add(time.Hour)
		c.Own(a, future)
		if m := c.Recall(a, time.Now()); !m.Stale || m.Owner.Host != "mail1" {
			t.Errorf("of a time to come: %+v", m)
		}
		c.Own(a, yes("mail1"))
		c.Distrust("mail1", time.Now())
		if m := c.Recall(a, time.Now()); !m.Stale || m.Owner.Host != "mail1" {
			t.Errorf("of a distrusted host: %+v", m)
		}
		c.Disown(a)
		time.Sleep(time.Second)
		past := yes("mail1")
		past.At = time.Now().Add(-2 * time.Second)
		c.Restore(Entry{Name{a.Local(), a.Domain()}, past})
		if m := c.Recall(a, time.Now()); !m.Stale || m.Owner.Host != "mail1" {
			t.Errorf("restored, of a distrusted host: %+v", m)
		}
	})
}

// What is remembered lives by the lifetimes of the day.
func TestDomainsAdjustedLifetimesCountAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a, other := newCache(t, nil), address(t, "anna@"+hasty), address(t, "anna@example.com")
		c.Own(a, yes("mail1"))
		c.Own(other, yes("mail1"))
		time.Sleep(hastyLife.Refresh)
		opt := Default()
		withHasty(&opt)
		if err := c.Adjust(opt); err != nil {
			t.Fatal(err)
		}
		if !c.Recall(a, time.Now()).Stale || c.Recall(other, time.Now()).Stale {
			t.Errorf("%+v, other %+v", c.Recall(a, time.Now()), c.Recall(other, time.Now()))
		}
		if err := c.Adjust(Default()); err != nil || c.Recall(a, time.Now()).Stale {
			t.Errorf("stale by the old lifetimes, %v", err)
		}
		time.Sleep(hastyLife.Expire)
		wantOwner(t, c, a, "mail1")
		if err := c.Adjust(opt); err != nil {
			t.Fatal(err)
		}
		wantOwner(t, c, a, "")
		wantOwner(t, c, other, "mail1")
	})
}
