package control

import (
	"cmp"
	"fmt"

	"postwhere/cmd/postwhere/maillog"
	"postwhere/policy"
)

// Result is a finding as query prints it and as the control socket carries it:
// an object a line. The fields' names and order are fixed.
type Result struct {
	Address   string         `json:"address"`
	Verdict   string         `json:"verdict"`
	Host      string         `json:"host"`
	Transport string         `json:"transport"`
	Code      int            `json:"code"`  // the client is told; 0 with pass
	Reply     string         `json:"reply"` // enhanced code and text, with reject and defer
	Source    string         `json:"source"`
	Age       float64        `json:"age"` // seconds, of the oldest answer that counted
	Answers   []ResultAnswer `json:"answers"`
}

// Reported is a result as it comes from the daemon.
type Reported struct {
	Result
	Why    string `json:"why"`    // there is no other verdict, for the user
	Unsure bool   `json:"unsure"` // it is not what a host said: defer, or let in unsure
}

// ResultAnswer is what one host said.
type ResultAnswer struct {
	Host   string  `json:"host"`
	Answer string  `json:"answer"`
	Reply  string  `json:"reply"` // the host's own words; why it gave none, if it did not
	Method string  `json:"method"`
	MS     float64 `json:"ms"`
}

// ResultOf returns a finding about an address, as it was given.
func ResultOf(address string, f policy.Finding) Reported {
	r := Reported{Why: f.Why, Unsure: f.Verdict == policy.Defer || f.LetIn, Result: Result{
		Address: address, Verdict: f.Verdict.String(), Code: maillog.Code(f),
		Source: f.Source, Age: f.Age.Seconds(), Answers: []ResultAnswer{},
	}}
	if f.Host != nil {
		r.Host, r.Transport = f.Host.Name, f.Host.Route
	}
	if f.Reply.Code != 0 {
		r.Reply = f.Reply.Enhanced + " " + f.Reply.Text
	}
	for _, a := range f.Answers {
		if a.Says == policy.Unasked {
			continue // the verdict did not wait for it
		}
		r.Answers = append(r.Answers, ResultAnswer{
			Host: a.Host, Answer: a.Says.String(), Reply: cmp.Or(a.Reply.String(), a.Why), Method: a.Method,
			MS: float64(a.Took.Microseconds()) / 1000,
		})
	}
	return r
}

// Line returns the result for people and for cut(1).
func (r Result) Line() string {
	return fmt.Sprintf("%s\t%s\t%s\t%s", r.Address, r.Verdict, r.Host, r.Transport)
}
