package shared

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postwhere/cache"
	"postwhere/policy"
)

func TestRecordIsReadAsItWasWritten(t *testing.T) {
	at := time.UnixMicro(1_764_000_000_123_456)
	for _, test := range []struct {
		record record
		text   string
	}{
		{record{at: at, gone: true}, `1 1764000000123456 {}`},
		{record{at: at, owner: policy.Answer{Host: "mail1", Says: policy.Yes, At: at}}, `1 1764000000123456 {"host":"mail1"}`},
		{record{at: at, owner: policy.Answer{
			Host: `[2001:db8::1]:26 "x"`, Says: policy.Yes, Weak: true, Method: "vrfy", At: at,
			Reply: policy.Reply{Code: 252, Enhanced: "2.0.0"}, Took: 30 * time.Millisecond,
		}, endpoint: "smtp:inet:mail1:25"}, `1 1764000000123456 {"host":"[2001:db8::1]:26 \"x\"","weak":true,"code":252,"enhanced":"2.0.0","method":"vrfy","took_ms":30,"endpoint":"smtp:inet:mail1:25"}`},
	} {
		if got := test.record.String(); got != test.text {
			t.Errorf("got %s, want %s", got, test.text)
		}
		got, ok := parseRecord(test.text)
		if diff := cmp.Diff(test.record, got, cmp.AllowUnexported(record{})); !ok || diff != "" {
			t.Errorf("%s: %v %s", test.text, ok, diff)
		}
	}
}

// notRecords are what is not there for this version, or cannot be read.
var notRecords = []string{
	"", "1", "1 ", "1 1764000000123456", `2 1764000000123456 {"host":"mail1"}`, `01 1764000000123456 {"host":"mail1"}`,
	`1 soon {"host":"mail1"}`, `1 -5 {"host":"mail1"}`, `1 0 {"host":"mail1"}`, `1 99999999999999999999 {"host":"mail1"}`,
	`1 1764000000123456 {"host":"mail1"`, `1 1764000000123456 {"host":1}`, `1 1764000000123456 "mail1"`, `1 1764000000123456 {"host":"mail1"} {}`,
	"\x00\xff\xfe", `1 1764000000123456 {"host":"` + strings.Repeat("x", maxRecord) + `"}`,
}

func TestWhatIsNoRecordIsNotThere(t *testing.T) {
	for _, text := range notRecords {
		if r, ok := parseRecord(text); ok {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, text := range notRecords {
		f.Add(text)
	}
	f.Add(`1 1764000000123456 {"host":"mail1","weak":true,"code":252,"enhanced":"2.0.0","method":"vrfy","took_ms":30}`)
	f.Add(`1 1764000000123456 {}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseRecord(text)
		if !ok {
			return
		}
		if says := r.owner.Says; r.gone != (says != policy.Yes) || says == policy.No {
			t.Errorf("%+v", r)
		}
		again, ok := parseRecord(r.String())
		if diff := cmp.Diff(r, again, cmp.AllowUnexported(record{})); len(r.String()) <= maxRecord && (!ok || diff != "") {
			t.Errorf("%q is read back as %+v: %s", r.String(), again, diff)
		}
	})
}

func TestPurgeIsReadAsItWasTold(t *testing.T) {
	for _, p := range []cache.Purge{
		{Name: cache.Name{Local: "a@b", Domain: "example.com"}}, {Domain: "example.com"}, {Host: "mail1:25"}, {Strangers: true}, {All: true},
	} {
		kind, what := wordsOf(p)
		if got := parsePurge(kind, what); got != p {
			t.Errorf("%+v is told as %s %s, and read as %+v", p, kind, what, got)
		}
	}
	for _, words := range [][2]string{{"", ""}, {"address", "anna"}, {"address", "@"}, {"domain", ""}, {"host", ""}, {"mailbox", "x"}} {
		if got := parsePurge(words[0], words[1]); got != (cache.Purge{All: true}) {
			t.Errorf("%q: %+v", words, got)
		}
	}
}

func TestPositionIsInOrder(t *testing.T) {
	order := []string{"0-0", "0-1", "5-0", "5-10", "1764000000123-0", "1764000000123-9", "1764000000123-10", "1764000000124-0", ahead}
	for i, a := range order {
		for j, b := range order {
			if isBefore(a, b) != (i < j) {
				t.Errorf("%s before %s: %v", a, b, isBefore(a, b))
			}
		}
	}
	for _, bad := range []string{"", "x", "5", "5-", "$", "5-0 6-0"} {
		if p := (Position{bad, bad}).orNow(); !entryNumber.MatchString(p.Purges) || !entryNumber.MatchString(p.Denials) {
			t.Errorf("%q: %+v", bad, p)
		}
	}
}

func TestPatternMatchesTheTextAndNothingElse(t *testing.T) {
	if got, want := globQuote(`p*?[a-z]\^x`), `p\*\?\[a\-z\]\\\^x`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
