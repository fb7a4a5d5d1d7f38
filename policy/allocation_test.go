package policy

import (
	"strings"
	"testing"
	"time"
)

// constant is a Memory that says the same of everybody.
type constant struct {
	Memory
	memo Memo
}

func (c constant) Recall(Address, time.Time) Memo { return c.memo }

func (constant) Purged(Address, []Answer) bool { return false }

// A remembered verdict costs no allocation, from the recipient as a face hands it
// over to the finding.
func TestRememberedVerdictAllocatesNothing(t *testing.T) {
	now := time.Now()
	owner := Memo{Owner: Answer{Host: "mail2", Says: Yes, At: now}}
	denied := Memo{}.with(Answer{Host: "mail1", Says: No, At: now}, Answer{Host: "mail2", Says: No, At: now})
	for _, domain := range []*Domain{
		{Names: []string{"example.com"}},
		{Names: []string{"example.com"}, AskAs: "inner.example"},
		{Names: []string{"example.com"}, Delimiter: "+"},
		{Names: []string{"example.com"}, Owners: map[string]string{"boss@example.com": "mail1"}},
	} {
		domain.SetHosts([]*Host{{Name: "mail1"}, {Name: "mail2"}})
		for verdict, memo := range map[Verdict]Memo{Deliver: owner, Reject: denied} {
			s := newTestSearcher(t, constant{memo: memo}, domain)
			s.Doubt(AddressOf("somebody.else", "example.com"), now) // to be told apart from
			for _, recipient := range []string{
				"anna@example.com", strings.Repeat("anna", 16) + "@example.com", "anna+lists@example.com", "käthe.von.und.zu.irgendwo@example.com",
			} {
				r := Request{Recipient: recipient, Face: "policy", Door: true, Client: "192.0.2.1", Helo: "client.example", Sender: "bert@example.org"}
				if n := testing.AllocsPerRun(100, func() {
					if f, err := s.Search(t.Context(), r); f.Verdict != verdict || f.Source != SourceMemory || err != nil {
						t.Fatalf("%s: %+v, %v", recipient, f, err)
					}
				}); n > 0 {
					t.Errorf("%s, %+v, %v: %v allocations", recipient, domain.Names, verdict, n)
				}
			}
		}
	}
}
