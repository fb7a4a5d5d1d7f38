package servertest

import (
	"context"
	"errors"
	"strings"
	"sync"

	"postwhere/policy"
)

// ErrFault is the error of a search for fault@example.com.
var ErrFault = errors.New("fault of the searcher")

// Searcher is a core that needs no hosts. Of its domain, example.com, it rejects
// nobody, defers later, has a fault with fault, and delivers everybody else to
// mail1; other domains it passes.
type Searcher struct {
	mu    sync.Mutex
	asked []policy.Request
}

// Search returns the finding.
func (s *Searcher) Search(_ context.Context, r policy.Request) (policy.Finding, error) {
	s.mu.Lock()
	s.asked = append(s.asked, r)
	s.mu.Unlock()
	a, err := policy.ParseAddress(r.Recipient)
	if err != nil || !s.Ours(a.Domain()) {
		return policy.Finding{Verdict: policy.Pass, Address: a}, nil //nolint:nilerr // what is no address is not ours
	}
	f := policy.Finding{Address: a}
	switch strings.ToLower(a.Local()) {
	case "fault":
		return policy.Finding{}, ErrFault
	case "nobody":
		f.Verdict, f.Reply = policy.Reject, policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}
	case "later":
		f.Verdict, f.Reply = policy.Defer, policy.Reply{Code: 450, Enhanced: "4.4.1", Text: "Try again"}
	default:
		f.Verdict, f.Host = policy.Deliver, &policy.Host{
			Name: "mail1", Route: "smtp:[192.0.2.1]:25", Mailer: "esmtp:[192.0.2.1]", AliasDomain: "mail1.invalid",
		}
	}
	return f, nil
}

// Ours tells whether a domain is the Searcher's.
func (s *Searcher) Ours(domain string) bool { return domain == "example.com" }

// Asked returns the requests so far.
func (s *Searcher) Asked() []policy.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}
