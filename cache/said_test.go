package cache

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"postwhere/policy"
)

// checkSaid checks that what a memo has for a verdict is what its answers say.
func checkSaid(t interface{ Errorf(string, ...any) }, m policy.Memo) {
	short := func(a policy.Answer) string { return fmt.Sprintf("%q:%s", a.Host, a.Says) }
	if !slices.EqualFunc(m.Said, m.Answers, func(a, b policy.Answer) bool { return short(a) == short(b) }) {
		t.Errorf("said %v, answers %v", m.Said, m.Answers)
	}
	var oldest time.Time
	for i, a := range m.Answers {
		if i == 0 || a.At.Before(oldest) {
			oldest = a.At
		}
	}
	if !m.Oldest.Equal(oldest) {
		t.Errorf("the oldest answer is of %v, want %v", m.Oldest, oldest)
	}
}

func TestWhatHostsSayIsToldApart(t *testing.T) {
	c := newCache(t, nil)
	for i, answers := range [][]policy.Answer{
		{no("mail1"), no("mail2")},
		{no("mail2"), no("mail1")},
		{no("mail1"), unsure("mail2")},
		{no("mail1")},
		{no("mail1\x02\x05mail2")},
		{no("")},
		{no(""), no("")},
	} {
		a := address(t, fmt.Sprintf("user%d@example.com", i))
		c.Keep(a, answers)
		checkSaid(t, c.Recall(a, time.Now()))
	}
}

// Hosts may come and go for years.
func TestMoreIsSaidThanCanBeNumbered(t *testing.T) {
	c := newCache(t, nil)
	for i := range maxSayings + 10 {
		a := address(t, fmt.Sprintf("user%d@example.com", i))
		c.Keep(a, []policy.Answer{no(fmt.Sprintf("mail%d", i)), unsure("mail2")})
		checkSaid(t, c.Recall(a, time.Now()))
	}
	if n := len(*c.sayings.list.Load()); n != maxSayings {
		t.Errorf("%d sayings are numbered, want %d", n, maxSayings)
	}
}
