package policy

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestDoubtedMailboxIsDeferredForTenMinutesAndThenRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, _ := grownStale(t)
		mail1.has()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		denied := time.Now()
		for time.Since(denied) < 10*time.Minute {
			for _, spelling := range []string{"anna@example.com", "Anna@example.com", `"anna"@Example.COM`} {
				f := s.ask(t, Request{Recipient: spelling, Fresh: true})
				wantVerdict(t, f, Defer)
				if f.Reply != deferReply || f.Why == "" {
					t.Errorf("client is told %v because %q", f.Reply, f.Why)
				}
			}
			wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
			time.Sleep(30 * time.Second)
		}
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		wantVerdict(t, s.look(t, "Anna@example.com"), Reject)
	})
}

func TestDirectoryThatIsEmptyForAMomentAtTheRefreshDoesNotRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, _ := grownStale(t)
		mail1.has()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		mail1.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
	})
}

// A doubt goes on where it was when the program starts again, and begins anew if
// the clock was set back.
func TestDoubtIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, _ := grownStale(t)
		mail1.has()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		time.Sleep(DoubtTime / 2)
		all := s.Doubts().All()
		all["late@example.com"] = time.Now().Add(time.Hour)
		all["early@example.com"] = time.Now().Add(-DoubtTime)
		next := NewSearcher(nil, nil, Options{Doubts: RestoreDoubts(all)})
		defer next.Close(t.Context())
		for _, after := range []struct {
			time.Duration
			doubted []string
		}{{0, []string{"anna@example.com", "late@example.com"}}, {DoubtTime / 2, []string{"late@example.com"}}, {DoubtTime / 2, nil}} {
			time.Sleep(after.Duration)
			if got := slices.Sorted(maps.Keys(next.Doubts().All())); !slices.Equal(got, after.doubted) {
				t.Errorf("got %v, want %v", got, after.doubted)
			}
		}
	})
}

func TestDoubtIsAboutOneMailboxAndItsExtensions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		s := newSiteWithExtensions(t, mail1)
		wantDeliver(t, s.look(t, "anna+list@example.com"), mail1, SourceSearch)
		time.Sleep(ownerRefresh)
		mail1.has()
		wantDeliver(t, s.look(t, "anna+list@example.com"), mail1, SourceMemory)
		synctest.Wait()
		for _, recipient := range []string{"anna@example.com", "anna+list@example.com", "Anna-other@example.com"} {
			wantVerdict(t, s.look(t, recipient), Defer)
		}
		for _, recipient := range []string{"bert@example.com", "bert+anna@example.com"} {
			wantVerdict(t, s.look(t, recipient), Reject)
		}
		time.Sleep(DoubtTime)
		for _, recipient := range []string{"anna@example.com", "anna+list@example.com"} {
			wantVerdict(t, s.look(t, recipient), Reject)
		}
	})
}

func TestDoubtIsAboutTheMailboxInTheDomainsOwnSpelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@inner.example")
		s := newSiteOf(t, &Domain{Names: []string{"example.com", "example.net"}, AskAs: "inner.example"}, mail1)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		time.Sleep(ownerRefresh)
		mail1.has()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantVerdict(t, s.look(t, "anna@example.net"), Defer)
	})
}

func TestOwnerOnAHostThatMXLostIsDeferredNotRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		s.domain.SetHosts(listOf(mail2))
		for begun := time.Now(); time.Since(begun) < DoubtTime; time.Sleep(time.Minute) {
			wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		}
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)

		s.domain.SetHosts(listOf(mail1, mail2))
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

func TestMailboxThatIsFoundAgainMayBeDoubtedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		for _, hosts := range [][]*mailHost{{mail2}, {mail1, mail2}, {mail2}} {
			s.look(t, "anna@example.com")
			s.domain.SetHosts(listOf(hosts...))
			time.Sleep(DoubtTime)
		}
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
	})
}

func TestDoubtsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Doubts
		old, young := mustParse(t, "old@example.com"), mustParse(t, "young@example.com")
		d.add(old)
		time.Sleep(DoubtTime)
		d.add(young)
		for i := range maxDoubts - 1 {
			d.add(mustParse(t, fmt.Sprintf("u%d@example.com", i)))
		}
		if d.has(old, time.Now()) || !d.has(young, time.Now()) {
			t.Errorf("old is doubted: %v, young: %v", d.has(old, time.Now()), d.has(young, time.Now()))
		}
		for i := range maxDoubts {
			d.add(mustParse(t, fmt.Sprintf("v%d@example.com", i)))
			if len(d.since) > maxDoubts {
				t.Fatalf("%d doubts", len(d.since))
			}
		}
		// Where there are too many, nobody is refused.
		next := RestoreDoubts(d.All())
		if !d.has(young, time.Now()) || !d.has(old, time.Now()) || !next.has(young, time.Now()) || !next.has(old, time.Now()) {
			t.Error("a mailbox of too many is not doubted")
		}
		time.Sleep(DoubtTime)
		if d.has(young, time.Now()) || next.has(old, time.Now()) {
			t.Error("everybody is doubted for ever")
		}
	})
}

func TestFreshAsksAgainAfterNinetySecondsAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		fresh := Request{Recipient: "anna@example.com", Fresh: true}
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		time.Sleep(90*time.Second - ms)
		f := s.ask(t, fresh)
		wantVerdict(t, f, Reject)
		if f.Source != SourceMemory {
			t.Errorf("source %q", f.Source)
		}
		wantAsked(t, 1, mail1, mail2)

		time.Sleep(ms)
		mail2.has("anna@example.com")
		wantVerdict(t, s.look(t, "anna@example.com"), Reject) // who does not ask for a fresh one
		wantAsked(t, 0, mail1, mail2)
		wantDeliver(t, s.ask(t, fresh), mail2, SourceSearch)
		wantAsked(t, 1, mail1, mail2)
	})
}

func TestFreshIsWantedOfBothNamesOfAnExtendedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1")
		s := newSiteWithExtensions(t, mail1)
		wantVerdict(t, s.look(t, "anna+list@example.com"), Reject)
		time.Sleep(90 * time.Second)
		mail1.has("anna@example.com")
		wantVerdict(t, s.look(t, "anna+list@example.com"), Reject)
		wantDeliver(t, s.ask(t, Request{Recipient: "anna+list@example.com", Fresh: true}), mail1, SourceSearch)
	})
}

func TestFreshLeavesOwnersAndDefersToMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		s := newSite(t, mail1)
		s.look(t, "anna@example.com")
		time.Sleep(2 * freshFor)
		wantDeliver(t, s.ask(t, Request{Recipient: "anna@example.com", Fresh: true}), mail1, SourceMemory)
		mail1.down()
		wantVerdict(t, s.look(t, "bert@example.com"), Defer)
		f := s.ask(t, Request{Recipient: "bert@example.com", Fresh: true})
		wantVerdict(t, f, Defer)
		if f.Source != SourceMemory {
			t.Errorf("source %q", f.Source)
		}
	})
}

// A host that is down when a fresh no is wanted: the remembered one does not bounce.
func TestFreshDoesNotRejectWhenTheHostsCannotBeAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		time.Sleep(freshFor)
		mail2.down()
		wantVerdict(t, s.ask(t, Request{Recipient: "anna@example.com", Fresh: true}), Defer)
	})
}

// From policy the quotes are the mailbox's own, and the hosts were asked without.
func TestQuotesOfAnUnquotedRecipientAreTheMailboxesName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newHost("mail1", `"anna"@example.com`, "bert@example.com"))
		for _, recipient := range []string{`"anna"@example.com`, `"an\na"@example.com`, "@relay:anna@example.com", "@a@:@a@example.com"} {
			for range 2 {
				f := s.ask(t, Request{Recipient: recipient, Unquoted: true})
				wantVerdict(t, f, Defer)
				if f.Reply != deferReply || f.Why == "" {
					t.Errorf("%s: client is told %v because %q", recipient, f.Reply, f.Why)
				}
			}
		}
		for _, recipient := range []string{"anna@example.com", "Anna@Example.COM.", "a b@example.com", "x@elsewhere@example.com"} {
			wantVerdict(t, s.ask(t, Request{Recipient: recipient, Unquoted: true}), Reject)
		}
		wantVerdict(t, s.look(t, `"carl"@example.com`), Reject) // quoted, as a milter has it
		wantVerdict(t, s.ask(t, Request{Recipient: `bert@example.com`, Unquoted: true}), Deliver)
	})
}

// What the Searcher that ends hears denied, the next one does not refuse.
func TestDoubtsAreSharedWithTheNextSearcher(t *testing.T) {
	old := NewSearcher(nil, nil, Options{})
	next := NewSearcher(nil, nil, Options{Doubts: old.Doubts()})
	defer old.Close(t.Context())
	defer next.Close(t.Context())
	anna := mustParse(t, "anna@example.com")
	old.doubts.add(anna)
	if !next.doubts.has(anna, time.Now()) {
		t.Error("the next Searcher would refuse it")
	}
}

// As long as it is not known who is in doubt, all are, but no longer than doubts last.
func TestAllAreInDoubtUntilItIsKnownWhoIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Doubts{}
		anna, bert := mustParse(t, "anna@example.com"), mustParse(t, "bert@example.com")
		done := d.Await()
		if !d.has(anna, time.Now()) || !d.has(bert, time.Now()) || !d.last(bert).IsZero() || len(d.All()) != 0 {
			t.Error("somebody is in no doubt, or was denied")
		}
		d.add(bert)
		d.Restore(map[string]time.Time{anna.Key(): time.Now().Add(-time.Minute), bert.Key(): time.Now().Add(-time.Minute)})
		done()
		done()
		if !d.has(anna, time.Now()) || d.has(mustParse(t, "carla@example.com"), time.Now()) || !d.last(bert).Equal(time.Now()) {
			t.Errorf("in doubt: %v", d.All())
		}
		d.Await()
		time.Sleep(DoubtTime)
		if d.has(anna, time.Now()) {
			t.Error("she is in doubt for ever")
		}
	})
}
