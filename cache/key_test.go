package cache

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"postwhere/policy"
)

func TestFoldedKeyIsAddressKey(t *testing.T) {
	c := newCache(t, nil)
	local := rapid.OneOf(
		rapid.StringMatching(`[a-zA-Z0-9.+_-]{1,40}`),
		rapid.StringOfN(rapid.RuneFrom([]rune("aAzZ@é\u00c9ẞßİıKσΣς中\U00010400"), unicode.Letter), 1, 40, 200),
	)
	rapid.Check(t, func(rt *rapid.T) {
		a, err := policy.ParseAddress(local.Draw(rt, "local") + "@Example.COM")
		if err != nil {
			rt.Skip(err)
		}
		k, _ := c.keys(a, nil)
		if got := string(k.local) + "@" + k.domain; got != a.Key() {
			rt.Fatalf("got %q, want %q", got, a.Key())
		}
	})
}

func TestNamesOfEveryLength(t *testing.T) {
	c := newCache(t, nil)
	for n := 1; n <= 240; n++ {
		a := address(t, strings.Repeat("a", n)+"@example.com")
		c.Own(a, yes("mail1"))
		c.Keep(a, []policy.Answer{no("mail2")})
	}
	if owners, strangers := c.Len(); owners != 240 || strangers != 240 {
		t.Fatalf("%d owners, %d strangers", owners, strangers)
	}
	for n := 1; n <= 240; n++ {
		a := address(t, strings.Repeat("a", n)+"@example.com")
		wantOwner(t, c, a, "mail1")
		c.Disown(a)
		wantAnswers(t, c, a, "mail2:no")
		b := address(t, strings.Repeat("a", n-1)+"b@example.com")
		wantOwner(t, c, b, "")
		wantAnswers(t, c, b, "")
	}
}

// Two addresses of one hash: neither is ever taken for the other.
func TestOneHashIsNotOneAddress(t *testing.T) {
	for _, other := range []string{"bert@example.com", "anna@example.net", strings.Repeat("bert", 20) + "@example.com"} {
		c, a, b := newCache(t, nil), address(t, "anna@example.com"), address(t, other)
		c.Own(b, yes("mail1"))
		c.Keep(b, []policy.Answer{no("mail2")})
		// b's entries, found by a's hash.
		kb, _ := c.keys(b, nil)
		ka, _ := c.keys(a, nil)
		o, st := *c.shard(kb).owners.peek(kb.hash), *c.shard(kb).strangers.peek(kb.hash)
		s := c.shard(ka)
		s.owners.put(ka.hash, o)
		s.strangers.put(ka.hash, st)

		wantOwner(t, c, a, "")
		wantAnswers(t, c, a, "")
		c.Postpone(a)
		c.Disown(a)
		c.Keep(a, nil)
		if s.owners.peek(ka.hash) == nil || s.strangers.peek(ka.hash) == nil {
			t.Error("another's entries were dropped")
		}
		c.Own(a, yes("mail3"))
		c.Keep(a, []policy.Answer{no("mail4")})
		wantOwner(t, c, a, "mail3")
		c.Disown(a)
		wantAnswers(t, c, a, "mail4:no")
	}
}

func TestTooManyNamesAreNotRemembered(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Own(a, yes("mail1"))
	for i := range maxNames {
		c.names.id(fmt.Sprint(i))
	}
	wantOwner(t, c, a, "mail1")
	c.Own(a, yes("mail2")) // it is not mail1 any more
	wantOwner(t, c, a, "")
	c.Own(address(t, "anna@example.net"), yes("mail1"))
	c.Keep(address(t, "anna@example.net"), []policy.Answer{no("mail1")})
	if owners, strangers := c.Len(); owners+strangers != 0 {
		t.Errorf("%d owners, %d strangers", owners, strangers)
	}
	c.Own(a, yes("mail1"))
	wantOwner(t, c, a, "mail1")
}

func TestTooManyEnhancedCodesAreLeftOut(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	for i := range 10_000 {
		odd := yes("mail1")
		odd.Reply.Enhanced = fmt.Sprintf("2.%d.%d", i/1000, i%1000)
		c.Own(a, odd)
		got := c.Recall(a, time.Now()).Owner.Reply
		if got.Enhanced != "" && got.Enhanced != odd.Reply.Enhanced || got.Code != 252 {
			t.Fatalf("got %v, want %v", got, odd.Reply)
		}
	}
	if n := len(*c.codes.list.Load()); n != maxWords {
		t.Errorf("%d codes are kept", n)
	}
}
