package policy

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const ms = time.Millisecond

func TestAllHostsAreAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2, mail3 := newHost("mail1").takes(time.Second), newHost("mail2").takes(time.Second), newHost("mail3").takes(time.Second)
		s := newSite(t, mail1, mail2, mail3)
		begun := time.Now()
		f := s.look(t, "nobody@example.com")
		wantVerdict(t, f, Reject)
		if f.Reply != rejectReply {
			t.Errorf("client is told %v", f.Reply)
		}
		if took := time.Since(begun); took != time.Second {
			t.Errorf("took %v: the hosts were asked one after another", took)
		}
		wantAsked(t, 1, mail1, mail2, mail3)
	})
}

// Which host owns the mailbox, and how long an asker waits to be told so.
func TestTheEarliestYesWins(t *testing.T) {
	yes, weak, no, unsure := Answer{Says: Yes}, Answer{Says: Yes, Weak: true}, Answer{Says: No}, Answer{Says: Unsure}
	type host struct {
		says  Answer
		after time.Duration
	}
	for _, tt := range []struct {
		name  string
		hosts []host
		owner int
		took  time.Duration
	}{
		{"the only one that has it", []host{{no, 0}, {yes, 0}, {no, 0}}, 1, 0},
		{"the first in order of preference, not in time", []host{{yes, 200 * ms}, {yes, 0}}, 0, 200 * ms},
		{"the first host waits for nobody", []host{{yes, 0}, {yes, 5 * time.Second}, {unsure, deadline}}, 0, 0},
		{"a yes waits for a silent earlier host no longer than that", []host{{yes, time.Second}, {yes, 100 * ms}}, 1, 600 * ms},
		{"an earlier no ends the wait", []host{{no, 300 * ms}, {yes, 0}}, 1, 300 * ms},
		{"an earlier unsure ends the wait", []host{{unsure, 300 * ms}, {yes, 0}}, 1, 300 * ms},
		{"later hosts are not waited for", []host{{no, 0}, {yes, 100 * ms}, {yes, time.Second}}, 1, 100 * ms},
		{"an earlier yes starts no second wait", []host{{yes, 3 * time.Second}, {yes, 300 * ms}, {yes, 0}}, 1, 500 * ms},
		{"a yes that comes late enough is not waited with", []host{{no, 0}, {no, 0}, {yes, 9 * time.Second}}, 2, 9 * time.Second},
		{"an unsure host does not outweigh a yes", []host{{unsure, 0}, {unsure, 0}, {yes, 0}}, 2, 0},
		{"a host silent until the deadline neither", []host{{no, 0}, {yes, 0}, {no, 2 * deadline}}, 1, 0},

		{"a weak yes counts where nobody has a better one", []host{{no, 0}, {weak, 0}, {no, 0}}, 1, 0},
		{"a weak yes gives way to a later host's yes", []host{{weak, 0}, {yes, 200 * ms}}, 1, 200 * ms},
		{"a weak yes waits for later hosts no longer than that", []host{{weak, 0}, {yes, time.Second}}, 0, 500 * ms},
		{"of two weak ones the earlier", []host{{weak, 200 * ms}, {weak, 0}}, 0, 200 * ms},
		{"a weak yes of an earlier host gives way", []host{{weak, 200 * ms}, {yes, 0}}, 1, 200 * ms},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hosts []*mailHost
				for i, h := range tt.hosts {
					hosts = append(hosts, newHost("mail"+string(rune('1'+i))).always(h.says).takes(h.after))
				}
				s := newSite(t, hosts...)
				begun := time.Now()
				f := s.look(t, "anna@example.com")
				if took := time.Since(begun); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				wantDeliver(t, f, hosts[tt.owner], SourceSearch)
				if got := s.memory.owner("anna@example.com"); got != hosts[tt.owner].name {
					t.Errorf("%s is remembered, want %s", got, hosts[tt.owner].name)
				}
			})
		})
	}
}

func TestLateYesOfAPreferredHostBecomesTheOwner(t *testing.T) {
	for _, tt := range []struct {
		name         string
		mail1, mail2 Answer
		owner        string
	}{
		{"earlier host", Answer{Says: Yes}, Answer{Says: Yes}, "mail1"},
		{"weak yes of an earlier host", Answer{Says: Yes, Weak: true}, Answer{Says: Yes}, "mail2"},
		{"earlier no", Answer{Says: No}, Answer{Says: Yes}, "mail2"},
		{"earlier unsure", Answer{Says: Unsure}, Answer{Says: Yes}, "mail2"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mail1, mail2 := newHost("mail1").always(tt.mail1).takes(2*time.Second), newHost("mail2").always(tt.mail2)
				s := newSite(t, mail1, mail2)
				early := s.look(t, "anna@example.com")
				wantDeliver(t, early, mail2, SourceSearch)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if early.Answers[0].Says != Unasked {
					t.Errorf("a finding that was handed out became %v", early.Answers)
				}
				if got := s.memory.owner("anna@example.com"); got != tt.owner {
					t.Errorf("owner is %s, want %s", got, tt.owner)
				}
				f := s.look(t, "anna@example.com")
				if f.Verdict != Deliver || f.Host.Name != tt.owner || f.Source != SourceMemory {
					t.Errorf("%v to %v from %s, want %s", f.Verdict, f.Host, f.Source, tt.owner)
				}
				wantAsked(t, 1, mail1, mail2)
			})
		})
	}
}

func TestLateYesOfALaterHostReplacesAWeakOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1").always(Answer{Says: Yes, Weak: true}), newHost("mail2").always(Answer{Says: Yes}).takes(time.Second)
		s := newSite(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		time.Sleep(time.Second)
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
	})
}

func TestHundredAskersForOneAddressAreOneSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1").takes(time.Second), newHost("mail2", "anna@example.com").takes(2*time.Second)
		s := newSite(t, mail1, mail2)
		begun := time.Now()
		found := make([]Finding, 100)
		var askers sync.WaitGroup
		for i := range found {
			askers.Go(func() {
				time.Sleep(time.Duration(i) * 10 * ms)
				found[i], _ = s.Search(t.Context(), Request{Recipient: "anna@example.com"})
			})
		}
		askers.Wait()
		for _, f := range found {
			wantDeliver(t, f, mail2, SourceSearch)
		}
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("took %v", took)
		}
		wantAsked(t, 1, mail1, mail2)
	})
}

func TestFindingNamesTheRecipientAsItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newHost("mail1", "Anna B@example.com"))
		f := s.look(t, `"Anna B"@EXAMPLE.com.`)
		if got, want := f.Address.String(), `"Anna B"@example.com`; got != want {
			t.Errorf("address %s, want %s", got, want)
		}
		if len(f.Answers) != 1 || f.Answers[0].Host != "mail1" || f.Answers[0].Says != Yes {
			t.Errorf("answers %v", f.Answers)
		}
	})
}

func TestAgeIsThatOfTheOldestAnswerThatCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com").takes(time.Second)
		s := newSite(t, mail1, mail2)
		wantAge := func(f Finding, want time.Duration) {
			t.Helper()
			if f.Age != want {
				t.Errorf("%v from %q: age %v, want %v", f.Verdict, f.Source, f.Age, want)
			}
		}
		wantAge(s.look(t, "anna@example.com"), time.Second)
		wantAge(s.look(t, "nobody@example.com"), time.Second)
		time.Sleep(time.Minute)
		wantAge(s.look(t, "anna@example.com"), time.Minute+2*time.Second)
		wantAge(s.look(t, "nobody@example.com"), time.Minute+time.Second)

		mail2.down()
		wantAge(s.look(t, "bob@example.com"), time.Second)
		time.Sleep(time.Minute)
		mail2.has().takes(0)
		wantAge(s.look(t, "bob@example.com"), 0) // a rejection is all of one moment
	})
}

func TestAskedIsWhatIsRemembered(t *testing.T) {
	inner := &Domain{Names: []string{"example.com", "example.org"}, AskAs: "inner.example"}
	s := NewSearcher([]*Domain{inner, {Names: []string{"example.net"}}}, nil, Options{})
	defer s.Close(t.Context())
	for recipient, want := range map[string]string{
		"Anna@Example.ORG": "Anna@inner.example", "anna+x@example.net": "anna+x@example.net", `"a b"@example.net`: `"a b"@example.net`,
		"anna@inner.example": "", "anna": "", "": "",
	} {
		a, err := s.Asked(recipient)
		if got := a.String(); want != "" && got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s, %v, want %q", recipient, got, err, want)
		}
		if err == nil && AddressOf(a.Local(), a.Domain()) != a {
			t.Errorf("%s is another than its parts", a)
		}
	}
}
