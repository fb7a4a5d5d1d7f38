package policy

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestOwnerIsRememberedForAnySpelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com")
		s := newSite(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
		for _, spelling := range []string{"Anna@example.com", "ANNA@EXAMPLE.COM.", `"anna"@example.com`} {
			wantDeliver(t, s.look(t, spelling), mail2, SourceMemory)
		}
		wantAsked(t, 1, mail1, mail2)
	})
}

func TestRejectIsRememberedForOneSpelling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		for range 3 {
			wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		}
		wantAsked(t, 1, mail1, mail2)
		wantVerdict(t, s.look(t, "Nobody@example.com"), Reject)
		wantAsked(t, 1, mail1, mail2)
		time.Sleep(noExpire)
		mail2.has("nobody@example.com")
		wantDeliver(t, s.look(t, "nobody@example.com"), mail2, SourceSearch)
	})
}

func TestOnlyHostsWithoutALivingAnswerAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2, mail3 := newHost("mail1"), newHost("mail2").down(), newHost("mail3")
		s := newSite(t, mail1, mail2, mail3)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		wantAsked(t, 1, mail1, mail2, mail3)

		time.Sleep(unsureExpire - ms)
		f := s.look(t, "anna@example.com")
		wantVerdict(t, f, Defer)
		if f.Source != SourceMemory {
			t.Errorf("source %q", f.Source)
		}
		wantAsked(t, 0, mail1, mail2, mail3)

		time.Sleep(ms)
		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
		wantAsked(t, 0, mail1, mail3)
		wantAsked(t, 1, mail2)
	})
}

func TestNewHostIsAskedFirstAndTheOthersBeforeARejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1)
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		s.domain.SetHosts(listOf(mail2, mail1))
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		wantAsked(t, 1, mail2)
		wantAsked(t, 2, mail1)
	})
}

func TestOwnerThatIsNoHostOfTheDomainAnyMoreIsSearchedAnewAndNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)

		s.domain.SetHosts(listOf(mail2))
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		wantAsked(t, 1, mail1)
		time.Sleep(noExpire)

		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
		wantAsked(t, 0, mail1)
	})
}

func TestOwnerIsForgottenWhenItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		s := newSite(t, mail1)
		s.look(t, "anna@example.com")
		time.Sleep(ownerExpire)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		wantAsked(t, 2, mail1)
	})
}

// A message for a mailbox that is known is accepted while its host is down, and
// waits in the queue.
func TestKnownMailboxIsDeliveredWhileItsHostIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		s.look(t, "anna@example.com")
		mail1.down()
		for begun := time.Now(); time.Since(begun) < ownerExpire-time.Hour; time.Sleep(time.Hour) {
			wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
	})
}
