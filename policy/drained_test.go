package policy

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// drainable makes the host at that index of a site's domain one that can be
// drained, and returns the switch.
func (s *site) drainable(i int) *atomic.Bool {
	var drained atomic.Bool
	s.domain.Hosts()[i].Drained = drained.Load
	return &drained
}

func TestDrainedHostIsUnsureAndNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2", "bert@example.com")
		s := newSite(t, mail1, mail2)
		drained := s.drainable(1)
		drained.Store(true)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		f := s.look(t, "bert@example.com")
		wantVerdict(t, f, Defer)
		if f.Why != "mail2: it is drained, and not asked" {
			t.Errorf("deferred because %q", f.Why)
		}
		wantAsked(t, 0, mail2)
		drained.Store(false)
		time.Sleep(time.Minute) // until no unsure is remembered
		wantDeliver(t, s.look(t, "bert@example.com"), mail2, SourceSearch)
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
	})
}

func TestWhatADrainedHostHasIsDeliveredToIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "bert@example.com")
		s := newSite(t, mail1, mail2)
		drained := s.drainable(1)
		wantDeliver(t, s.look(t, "bert@example.com"), mail2, SourceSearch)
		drained.Store(true)
		for range 3 { // the owner that could not be asked again stands
			wantDeliver(t, s.look(t, "bert@example.com"), mail2, SourceMemory)
			time.Sleep(2 * time.Hour)
		}
	})
}

// Nobody is refused by what the host said before it was drained.
func TestRememberedNoOfADrainedHostRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: "+"}, mail1, mail2)
		drained := s.drainable(0)
		for _, recipient := range []string{"nobody@example.com", "nobody+ext@example.com"} {
			wantVerdict(t, s.look(t, recipient), Reject)
			drained.Store(true)
			wantVerdict(t, s.look(t, recipient), Defer)
			drained.Store(false)
			wantVerdict(t, s.look(t, recipient), Reject)
		}
	})
}

// Nor by a no that was under way, of the host or of another one.
func TestHostThatIsDrainedDuringASearchRefusesNobody(t *testing.T) {
	for _, slow := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			hosts := []*mailHost{newHost("mail1"), newHost("mail2")}
			hosts[slow].takes(2 * time.Second)
			s := newSite(t, hosts...)
			drained := s.drainable(0)
			time.AfterFunc(time.Second, func() { drained.Store(true) })
			wantVerdict(t, s.look(t, "nobody@example.com"), Defer)
			wantVerdict(t, s.look(t, "nobody@example.com"), Defer) // from memory
		})
	}
}

// Draining is about asking. So a last resort gets what every other host says no
// to, as one that is down, but not what a drained host may have.
func TestDrainedLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2, old := newHost("mail1"), newHost("mail2"), newHost("old")
		old.always(Answer{Says: Unsure, Why: "accepts everything"})
		s := newSite(t, mail1, mail2, old)
		s.domain.Hosts()[2].LastResort = true
		mail2Drained, oldDrained := s.drainable(1), s.drainable(2)
		oldDrained.Store(true)
		f := s.look(t, "somebody@example.com")
		wantDeliver(t, f, old, SourceSearch)
		if !f.LastResort {
			t.Error("not as the last resort")
		}
		wantAsked(t, 0, old)
		mail2Drained.Store(true)
		wantVerdict(t, s.look(t, "somebody@example.com"), Defer)
		wantVerdict(t, s.look(t, "somebodyelse@example.com"), Defer)
	})
}

func TestDrainedHostOfAnotherDomainHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		com, org := &Domain{Names: []string{"example.com"}}, &Domain{Names: []string{"example.org"}}
		com.SetHosts(listOf(mail1))
		org.SetHosts(listOf(mail2))
		org.Hosts()[0].Drained = func() bool { return true }
		s := newTestSearcher(t, newShelf(), com, org)
		for recipient, want := range map[string]Verdict{"nobody@example.com": Reject, "nobody@example.org": Defer} {
			f, err := s.Search(t.Context(), Request{Recipient: recipient})
			if err != nil || f.Verdict != want {
				t.Errorf("%s: %v, %v", recipient, f.Verdict, err)
			}
		}
	})
}
