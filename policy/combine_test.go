package policy

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// said is all that a host may have said, as far as Combine cares.
var said = map[string]Answer{
	"unasked":  {},
	"yes":      {Says: Yes},
	"weak yes": {Says: Yes, Weak: true},
	"no":       {Says: No},
	"unsure":   {Says: Unsure},
}

// decide is what the documents say, in their words: an oracle for Combine.
func decide(words []string) (Verdict, int) {
	if i := slices.Index(words, "yes"); i >= 0 {
		return Deliver, i
	}
	if i := slices.Index(words, "weak yes"); i >= 0 {
		return Deliver, i
	}
	if len(words) == 0 || slices.Contains(words, "unsure") || slices.Contains(words, "unasked") {
		return Defer, -1
	}
	return Reject, -1
}

func TestCombineAgreesWithTheOracleOnEverythingFourHostsCanSay(t *testing.T) {
	var try func(words []string)
	tried := 0
	try = func(words []string) {
		answers := make([]Answer, len(words))
		for i, w := range words {
			answers[i] = said[w]
		}
		tried++
		wantV, wantOwner := decide(words)
		if v, owner := Combine(answers); v != wantV || owner != wantOwner {
			t.Errorf("Combine(%q) = %v, %d, want %v, %d", words, v, owner, wantV, wantOwner)
		}
		if len(words) == 4 {
			return
		}
		for w := range said {
			try(append(slices.Clip(words), w))
		}
	}
	try(nil)
	if want := 1 + 5 + 25 + 125 + 625; tried != want {
		t.Errorf("tried %d combinations, want %d", tried, want)
	}
}

func TestCombineRejectsOnlyIfThereAreHostsAndEachSaidNo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		answers := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Answer {
			return Answer{
				// More than the words we know: whatever is no No does not count as one.
				Says: Says(rapid.OneOf(rapid.Just(uint8(No)), rapid.Uint8()).Draw(t, "says")),
				Weak: rapid.Bool().Draw(t, "weak"),
			}
		}), 0, 12).Draw(t, "answers")
		v, owner := Combine(answers)
		everyNo := len(answers) > 0 && !slices.ContainsFunc(answers, func(a Answer) bool { return a.Says != No })
		if (v == Reject) != everyNo {
			t.Errorf("Combine(%v) = %v, want Reject: %v", answers, v, everyNo)
		}
		if (v == Deliver) != (owner >= 0) {
			t.Errorf("Combine(%v) = %v with owner %d", answers, v, owner)
		}
		if owner >= 0 && answers[owner].Says != Yes {
			t.Errorf("owner %d said %v", owner, answers[owner].Says)
		}
	})
}

func TestWhateverIsForgottenIsNoRejection(t *testing.T) {
	if v := (Finding{}).Verdict; v != Defer {
		t.Errorf("zero Finding says %v, want defer", v)
	}
	if s := (Answer{}).Says; s != Unasked {
		t.Errorf("zero Answer says %v, want unasked", s)
	}
}
