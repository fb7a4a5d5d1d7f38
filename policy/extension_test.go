package policy

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func newSiteWithExtensions(t *testing.T, hosts ...*mailHost) *site {
	t.Helper()
	return newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: "+-"}, hosts...)
}

func TestMailboxIsLookedForByItsFullNameAndThenWithoutItsExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com")
		s := newSiteWithExtensions(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna+list@example.com"), mail2, SourceSearch)
		for _, recipient := range []string{"anna@example.com", "anna+other@example.com", "Anna-List@example.com"} {
			wantDeliver(t, s.look(t, recipient), mail2, SourceMemory)
		}
		if got, want := mail2.questions(), []string{
			"anna+list@example.com", "anna@example.com", "anna+other@example.com", "Anna-List@example.com",
		}; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// As Postfix does: virtual(5), canonical(5) and the rest ask for the full name first.
func TestFullNameOwnsBeforeTheNameWithoutItsExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2", "anna-maria@example.com")
		s := newSiteWithExtensions(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		wantDeliver(t, s.look(t, "anna-maria@example.com"), mail2, SourceSearch)
		for range 2 {
			wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
			wantDeliver(t, s.look(t, "anna-maria@example.com"), mail2, SourceMemory)
			wantDeliver(t, s.look(t, "anna-list@example.com"), mail1, SourceMemory)
		}
	})
}

// mail2 may have it, and anna is somebody else.
func TestFullNameThatIsDeferredDoesNotGoToTheNameWithoutItsExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2").down()
		s := newSiteWithExtensions(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		wantVerdict(t, s.look(t, "anna-maria@example.com"), Defer)
		time.Sleep(unsureExpire)
		mail2.has("anna-maria@example.com")
		wantDeliver(t, s.look(t, "anna-maria@example.com"), mail2, SourceSearch)
	})
}

func TestWithoutADelimiterThereAreNoExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		s := newSite(t, mail1)
		wantVerdict(t, s.look(t, "anna+list@example.com"), Reject)
	})
}

func TestMailboxLiterallyNamedWithAnExtensionIsFound(t *testing.T) {
	for _, recipient := range []string{"user+ext@example.com", "owner-list@example.com", "list-request@example.com", "first-last@example.com"} {
		synctest.Test(t, func(t *testing.T) {
			mail1, mail2 := newHost("mail1"), newHost("mail2", recipient)
			s := newSiteWithExtensions(t, mail1, mail2)
			wantDeliver(t, s.look(t, recipient), mail2, SourceSearch)
			wantDeliver(t, s.look(t, recipient), mail2, SourceMemory)
		})
	}
}

// What the hosts say about user and about user+ext, and what follows.
func TestExtendedAddressIsRejectedOnlyByANoToBothOfItsNames(t *testing.T) {
	yes, no, unsure := Answer{Says: Yes}, Answer{Says: No}, Answer{Says: Unsure}
	for _, tt := range []struct {
		name       string
		base, full Answer
		want       Verdict
		asked      int
	}{
		{"base is there", yes, no, Deliver, 2},
		{"base is there, full not to be asked about", yes, unsure, Defer, 1},
		{"both are there", yes, yes, Deliver, 1},
		{"full is there", no, yes, Deliver, 1},
		{"full is there, base not to be asked about", unsure, yes, Deliver, 1},
		{"neither is there", no, no, Reject, 2},
		{"base not to be asked about", unsure, no, Defer, 2},
		{"full not to be asked about", no, unsure, Defer, 1},
		{"neither to be asked about", unsure, unsure, Defer, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mail1 := newHost("mail1").does(func(a Address) Answer {
					if a.Local() == "user" {
						return tt.base
					}
					return tt.full
				})
				s := newSiteWithExtensions(t, mail1)
				for _, source := range []string{SourceSearch, SourceMemory} {
					f := s.look(t, "user+ext@example.com")
					wantVerdict(t, f, tt.want)
					if f.Source != source {
						t.Errorf("source %q, want %q", f.Source, source)
					}
					if got := f.Address.String(); got != "user+ext@example.com" {
						t.Errorf("the finding is about %s", got)
					}
				}
				wantAsked(t, tt.asked, mail1)
			})
		})
	}
}

func TestTheAskersTimeIsForBothNamesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "user@example.com").takes(2 * time.Second)
		s := newSiteWithExtensions(t, mail1)
		begun := time.Now()
		wantVerdict(t, s.ask(t, Request{Recipient: "user+ext@example.com", Wait: 3 * time.Second}), Defer)
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantDeliver(t, s.look(t, "user+ext@example.com"), mail1, SourceMemory)
	})
}

func TestBothNamesTogetherTakeNoLongerThanTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteWithExtensions(t, newHost("mail1").silent())
		begun := time.Now()
		wantVerdict(t, s.ask(t, Request{Recipient: "user+ext@example.com", Wait: time.Hour}), Defer)
		if took := time.Since(begun); took != deadline {
			t.Errorf("took %v, want %v", took, deadline)
		}
	})
}

func TestBothNamesAreAskedInTheDomainsOwnSpelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "user+ext@inner.example")
		s := newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: "+", AskAs: "inner.example"}, mail1)
		wantDeliver(t, s.look(t, "user+ext@example.com"), mail1, SourceSearch)
		wantVerdict(t, s.look(t, "other+ext@example.com"), Reject)
		want := []string{"user+ext@inner.example", "other+ext@inner.example", "other@inner.example"}
		if got := mail1.questions(); !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

// The rule that no rejection is put together from an expired no holds over both
// names.
func TestRejectNeedsALivingNoToTheFullNameWhenTheBaseIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").does(func(a Address) Answer {
			if a.Local() == "user" {
				return Answer{Says: Unsure, Why: "421"}
			}
			return Answer{Says: No}
		})
		s := newSiteWithExtensions(t, mail1)
		wantVerdict(t, s.look(t, "user+ext@example.com"), Defer)
		time.Sleep(noExpire - time.Second)
		mail1.has("user+ext@example.com").takes(2 * time.Second)
		wantVerdict(t, s.look(t, "user+ext@example.com"), Defer)
		wantDeliver(t, s.look(t, "user+ext@example.com"), mail1, SourceSearch)
	})
}

// meanwhile is a memory that lets something happen before it recalls.
type meanwhile struct {
	*shelf
	recall func(Address)
}

func (m meanwhile) Recall(a Address, now time.Time) Memo {
	m.recall(a)
	return m.shelf.Recall(a, now)
}

func TestRejectNeedsANoToTheFullNameOfAHostAddedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "user+ext@example.com")
		d := &Domain{Names: []string{"example.com"}, Delimiter: "+"}
		d.SetHosts(listOf(mail1))
		memory := meanwhile{newShelf(), func(a Address) {
			if a.Local() == "user" { // the full name is settled by then
				d.SetHosts(listOf(mail1, mail2))
			}
		}}
		s := &site{Searcher: newTestSearcher(t, memory, d)}
		wantVerdict(t, s.look(t, "user+ext@example.com"), Defer)
		wantDeliver(t, s.look(t, "user+ext@example.com"), mail2, SourceSearch)
	})
}

func TestRejectOfBothNamesIsSaidWithoutAMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").takes(time.Second)
		d := &Domain{Names: []string{"example.com"}, Delimiter: "+"}
		d.SetHosts(listOf(mail1))
		s := &site{Searcher: newTestSearcher(t, forgetful{}, d)}
		wantVerdict(t, s.look(t, "user+ext@example.com"), Reject)
	})
}

// forgetful is a Memory that is full, or set to keep nothing.
type forgetful struct{}

func (forgetful) Recall(Address, time.Time) Memo { return Memo{} }
func (forgetful) Own(Address, Answer)            {}
func (forgetful) Postpone(Address)               {}
func (forgetful) Disown(Address)                 {}
func (forgetful) Keep(Address, []Answer)         {}

func (forgetful) Purged(Address, []Answer) bool { return false }

// The no to the full name was given when the search began, and counts no more when the one to
// the name without the extension has come.
func TestANoToTheFullNameThatExpiresDuringTheSearchRefusesNobody(t *testing.T) {
	for life, want := range map[time.Duration]Verdict{5 * time.Second: Reject, 3 * time.Second: Defer} {
		synctest.Test(t, func(t *testing.T) {
			s := newSiteWithExtensions(t, newHost("mail1"), newHost("mail2").takes(2*time.Second))
			s.domain.NoLife = life
			wantVerdict(t, s.look(t, "anna+list@example.com"), want)
		})
	}
}
