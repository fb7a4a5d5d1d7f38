package policy

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestForeignRecipientsArePassedWithoutASearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1")
		s := newSite(t, mail1)
		for _, recipient := range []string{
			"anna@example.net", "anna@sub.example.com", "example.com", "*", "", "<>", "postmaster",
			"an\x00na@example.net", "anna@exam\x00ple.com", `"anna@example.com"@example.net`,
		} {
			f := s.look(t, recipient)
			wantVerdict(t, f, Pass)
			if f.Source != SourceNone || f.Why == "" {
				t.Errorf("%q passed from %q because %q", recipient, f.Source, f.Why)
			}
		}
		wantAsked(t, 0, mail1)
	})
}

func TestRecipientOfOursThatCannotBeAskedAboutIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1")
		s := newSite(t, mail1)
		for _, recipient := range []string{
			"an\x00na@example.com", "anna\r\n@EXAMPLE.com.", "an\xffna@example.com", "@example.com", longAddress(255),
		} {
			f := s.look(t, recipient)
			wantVerdict(t, f, Defer)
			if f.Reply != deferReply || f.Why == "" {
				t.Errorf("%q: client is told %v because %q", recipient, f.Reply, f.Why)
			}
		}
		wantAsked(t, 0, mail1)
	})
}

func TestOursKnowsEveryNameInEverySpelling(t *testing.T) {
	s := newSiteOf(t, &Domain{Names: []string{"example.com", "xn--bcher-kva.example"}})
	for name, want := range map[string]bool{
		"example.com": true, "EXAMPLE.com.": true, "bücher.example": true, "XN--BCHER-KVA.example": true,
		"example.net": false, "sub.example.com": false, "": false, "example..com": false, "*": false,
	} {
		if got := s.Ours(name); got != want {
			t.Errorf("Ours(%q) = %v, want %v", name, got, want)
		}
	}
}

func TestNamesAreSeparateMailboxesUnlessToldOtherwise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2", "anna@example.org")
		s := newSiteOf(t, &Domain{Names: []string{"example.com", "example.org"}}, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		wantDeliver(t, s.look(t, "anna@example.org"), mail2, SourceSearch)
	})
}

func TestAskAsMakesTwoNamesOneMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@Inner.example")
		s := newSiteOf(t, &Domain{Names: []string{"example.com", "example.org"}, AskAs: "Inner.example"}, mail1, mail2)
		f := s.look(t, "anna@example.com")
		wantDeliver(t, f, mail2, SourceSearch)
		if got := f.Address.String(); got != "anna@example.com" {
			t.Errorf("the finding is about %s", got)
		}
		wantDeliver(t, s.look(t, "anna@example.org"), mail2, SourceMemory)
		wantVerdict(t, s.look(t, "nobody@example.org"), Reject)
		f = s.look(t, "nobody@example.com")
		wantVerdict(t, f, Reject)
		if f.Source != SourceMemory {
			t.Errorf("source %q", f.Source)
		}
		if got, want := mail2.questions(), []string{"anna@Inner.example", "nobody@Inner.example"}; !slices.Equal(got, want) {
			t.Errorf("asked %q, want %q", got, want)
		}
	})
}

func TestSearchesForTwoNamesOfOneMailboxAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@inner.example").takes(time.Second)
		s := newSiteOf(t, &Domain{Names: []string{"example.com", "example.org"}, AskAs: "inner.example"}, mail1)
		s.begin("anna@example.com")
		synctest.Wait()
		f := s.look(t, "anna@example.org")
		wantDeliver(t, f, mail1, SourceSearch)
		if got := f.Address.String(); got != "anna@example.org" {
			t.Errorf("the finding is about %s", got)
		}
		wantAsked(t, 1, mail1)
	})
}

func TestOwnersAreSettledWithoutAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com", "gone@example.com"), newHost("mail2")
		s := newSiteOf(t, &Domain{
			Names:     []string{"example.com", "example.org"},
			Delimiter: "+",
			Owners:    map[string]string{"anna@example.com": "mail2", "bob+list@example.com": "mail1", "gone@example.com": "mail9"},
		}, mail1, mail2)
		for recipient, want := range map[string]*mailHost{
			"anna@example.com":      mail2,
			"Anna@example.com":      mail2,
			"anna@example.org":      mail2,
			"anna+list@example.com": mail2,
			"bob+list@example.org":  mail1,
		} {
			wantDeliver(t, s.look(t, recipient), want, SourceOwners)
		}
		wantAsked(t, 0, mail1, mail2)
		// The others are asked about, as is a mailbox whose host the domain has not.
		wantVerdict(t, s.look(t, "bob@example.com"), Reject)
		wantDeliver(t, s.look(t, "gone@example.com"), mail1, SourceSearch)
	})
}

func TestOwnersAreSettledThoughAllHostsAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").down()
		s := newSiteOf(t, &Domain{Names: []string{"example.com"}, Owners: map[string]string{"anna@example.com": "mail1"}}, mail1)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceOwners)
	})
}

func TestTwoDomainsDoNotShareTheirHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.org")
		com, org := &Domain{Names: []string{"example.com"}}, &Domain{Names: []string{"example.org"}}
		com.SetHosts(listOf(mail1))
		org.SetHosts(listOf(mail2))
		s := &site{Searcher: newTestSearcher(t, newShelf(), com, org)}
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		wantDeliver(t, s.look(t, "anna@example.org"), mail2, SourceSearch)
		wantAsked(t, 1, mail1, mail2)
	})
}

// Two domains with one name for their hosts: a slip of the administrator's.
func TestTwoDomainsAskedAsOneDoNotRejectForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1").takes(time.Second), newHost("mail2", "anna@inner.example")
		com, org := &Domain{Names: []string{"example.com"}, AskAs: "inner.example"}, &Domain{Names: []string{"example.org"}, AskAs: "inner.example"}
		com.SetHosts(listOf(mail1))
		org.SetHosts(listOf(mail2))
		s := &site{Searcher: newTestSearcher(t, newShelf(), com, org)}
		s.begin("anna@example.com")
		synctest.Wait()
		wantVerdict(t, s.look(t, "anna@example.org"), Defer)
		wantDeliver(t, s.look(t, "anna@example.org"), mail2, SourceSearch)
	})
}
