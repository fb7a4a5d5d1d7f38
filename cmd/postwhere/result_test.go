package main

import (
	"encoding/json"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
)

func TestResultOfAFinding(t *testing.T) {
	mail2 := &policy.Host{Name: "mail2", Route: "smtp:[mail2]:25"}
	for _, c := range []struct {
		name    string
		finding policy.Finding
		line    string
		json    string
		status  int
	}{
		{
			"deliver", policy.Finding{
				Verdict: policy.Deliver, Host: mail2, Source: policy.SourceSearch, Age: 1500 * time.Millisecond,
				Answers: []policy.Answer{
					{Host: "mail1", Says: policy.No, Reply: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "no\nsuch"}, Method: "vrfy", Took: 1234567},
					{Host: "mail2", Says: policy.Yes, Reply: policy.Reply{Code: 250}, Method: "rcpt", Took: time.Second},
					{Host: "mail3"},
				},
			},
			"x@example.com\tdeliver\tmail2\tsmtp:[mail2]:25",
			`{"address":"x@example.com","verdict":"deliver","host":"mail2","transport":"smtp:[mail2]:25","code":250,"reply":"","source":"search","age":1.5,"answers":[` +
				`{"host":"mail1","answer":"no","reply":"550 5.1.1 no such","method":"vrfy","ms":1.234},{"host":"mail2","answer":"yes","reply":"250","method":"rcpt","ms":1000}]}`,
			exitDeliver,
		},
		{
			"reject", policy.Finding{Verdict: policy.Reject, Source: policy.SourceMemory, Reply: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}},
			"x@example.com\treject\t\t",
			`{"address":"x@example.com","verdict":"reject","host":"","transport":"","code":550,"reply":"5.1.1 User unknown","source":"memory","age":0,"answers":[]}`,
			exitReject,
		},
		{
			"defer, a host without a reply says why", policy.Finding{
				Source: policy.SourceSearch, Reply: policy.Reply{Code: 450, Enhanced: "4.4.1", Text: "Later"}, Why: "mail1: down",
				Answers: []policy.Answer{{Host: "mail1", Says: policy.Unsure, Why: "cannot be reached: down"}},
			},
			"x@example.com\tdefer\t\t",
			`{"address":"x@example.com","verdict":"defer","host":"","transport":"","code":450,"reply":"4.4.1 Later","source":"search","age":0,"answers":[` +
				`{"host":"mail1","answer":"unsure","reply":"cannot be reached: down","method":"","ms":0}]}`,
			exitDefer,
		},
		{
			"pass", policy.Finding{Verdict: policy.Pass, Why: "not ours"},
			"x@example.com\tpass\t\t",
			`{"address":"x@example.com","verdict":"pass","host":"","transport":"","code":0,"reply":"","source":"","age":0,"answers":[]}`,
			exitPass,
		},
		{
			"let in unsure", policy.Finding{
				Verdict: policy.Pass, LetIn: true, Source: policy.SourceMemory, Why: "let in unsure: mail1: down",
				Answers: []policy.Answer{{Host: "mail1", Says: policy.Unsure, Why: "down"}},
			},
			"x@example.com\tpass\t\t",
			`{"address":"x@example.com","verdict":"pass","host":"","transport":"","code":0,"reply":"","source":"memory","age":0,"answers":[{"host":"mail1","answer":"unsure","reply":"down","method":"","ms":0}]}`,
			exitPass,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := control.ResultOf("x@example.com", c.finding)
			text, err := json.Marshal(r.Result)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.json, string(text)); diff != "" {
				t.Errorf("object (-want +got):\n%s", diff)
			}
			if r.Line() != c.line || exitOf(r.Result) != c.status || r.Why != c.finding.Why || r.Unsure != (c.finding.Verdict == policy.Defer || c.finding.LetIn) {
				t.Errorf("line %q, status %d, why %q", r.Line(), exitOf(r.Result), r.Why)
			}
			var again control.Reported
			if text, err = json.Marshal(r); err == nil {
				err = json.Unmarshal(text, &again)
			}
			if diff := cmp.Diff(r, again, cmp.AllowUnexported(control.Reported{})); err != nil || diff != "" {
				t.Errorf("it does not come from the daemon as it is (-want +got): %v\n%s", err, diff)
			}
		})
	}
}

// query exits with the largest of several statuses; what they are is fixed, too.
func TestExitStatuses(t *testing.T) {
	got := []int{exitDeliver, exitReject, exitPass, exitUsage, exitDefer, exitConfig}
	if want := []int{0, 1, 2, 64, 75, 78}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := exitOf(control.Result{Verdict: "something new"}); got != exitDefer {
		t.Errorf("a verdict that is not known is %d", got)
	}
}

// Scripts are written by what the README says of an object.
func TestREADMEHasEachFieldOfQuery(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []any{control.Result{}, control.ResultAnswer{}, world.TraceLine{}} {
		of := reflect.TypeOf(object)
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if !regexp.MustCompile("(?m)^\\|.*`" + name + "(: true)?`").Match(readme) {
				t.Errorf("%s of %s is not there", name, of.Name())
			}
		}
	}
}
