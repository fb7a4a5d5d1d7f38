package cache

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"postwhere/policy"
)

func TestNoIsAboutOneSpelling(t *testing.T) {
	c := newCache(t, nil)
	c.Keep(address(t, "Anna@example.com"), []policy.Answer{no("mail1")})
	wantAnswers(t, c, address(t, "Anna@example.com"), "mail1:no")
	for _, s := range []string{"anna@example.com", "ANNA@example.com", "Anna@example.net"} {
		wantAnswers(t, c, address(t, s), "")
	}
}

func TestNoOutlivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		first := []policy.Answer{no("mail1")}
		c.Keep(a, first)
		time.Sleep(4 * time.Minute)
		// Kept again with another: its time is that of its own question.
		c.Keep(a, append(first, no("mail2")))
		wantAnswers(t, c, a, "mail1:no,mail2:no")
		time.Sleep(time.Minute)
		wantAnswers(t, c, a, "mail2:no")
		time.Sleep(4 * time.Minute)
		wantAnswers(t, c, a, "")
		if _, n := c.Len(); n != 0 {
			t.Errorf("%d strangers take up room", n)
		}
		c.Keep(a, first) // outlived before it came
		wantAnswers(t, c, a, "")
	})
}

func TestUnsureIsForgottenBeforeNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, a := newCache(t, nil), address(t, "anna@example.com")
		c.Keep(a, []policy.Answer{no("mail1"), unsure("mail2"), no("mail3")})
		before := c.Recall(a, time.Now()).Answers
		time.Sleep(early(DefaultUnsure))
		wantAnswers(t, c, a, "mail1:no,mail2:unsure,mail3:no")
		time.Sleep(DefaultUnsure - early(DefaultUnsure))
		wantAnswers(t, c, a, "mail1:no,mail3:no")
		if before[1].Host != "mail2" {
			t.Error("answers that were handed out have changed")
		}
	})
}

func TestKeepTakesNoNoteOfYes(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	c.Keep(a, []policy.Answer{{Host: "mail0", At: time.Now()}, yes("mail1"), no("mail2"), {Host: "mail3", At: time.Now(), Says: 7}})
	wantAnswers(t, c, a, "mail2:no")
	wantOwner(t, c, a, "")
	c.Keep(a, []policy.Answer{yes("mail1")}) // in place of what was kept
	wantAnswers(t, c, a, "")
}

func TestKeepLeavesTheGivenAnswersAlone(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	long := unsure("mail2")
	long.Why = strings.Repeat("x", 4*maxText)
	given := []policy.Answer{yes("mail1"), long, no("mail3")}
	before := fmt.Sprint(given)
	c.Keep(a, given)
	if fmt.Sprint(given) != before {
		t.Error("Keep changed the caller's slice: it is in a Finding, too")
	}
	if got := c.Recall(a, time.Now()).Answers[1]; !got.At.Equal(given[2].At) {
		t.Error("an answer is known by its time, and that has changed")
	}
}

func TestTextsAreCut(t *testing.T) {
	c, a := newCache(t, nil), address(t, "anna@example.com")
	hostile := no("mail1")
	hostile.Reply.Text = strings.Repeat("ä", 1<<20)
	hostile.Reply.Enhanced = "5." + strings.Repeat("1", 1<<20)
	hostile.Why = "x" + hostile.Reply.Text
	c.Keep(a, []policy.Answer{hostile})
	got := c.Recall(a, time.Now()).Answers[0]
	if len(got.Reply.Text) != maxText || len(got.Why) != maxText-1 || !utf8.ValidString(got.Why) || len(got.Reply.Enhanced) > maxEnhanced {
		t.Errorf("kept %d, %d and %d octets", len(got.Reply.Text), len(got.Why), len(got.Reply.Enhanced))
	}
	owner := yes("mail1")
	owner.Reply = hostile.Reply
	c.Own(a, owner)
	if got := c.Recall(a, time.Now()).Owner.Reply; got != (policy.Reply{Code: 550}) {
		t.Errorf("kept %+.40v of an owner", got)
	}
}
