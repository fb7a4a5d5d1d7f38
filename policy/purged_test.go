package policy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The mailbox is made at mail1, which was asked a moment before, and flushed from memory.
// Mail comes while the search of the time before still waits for mail2.
func TestNewMailboxIsNotRefusedByASearchFromBeforeItsFlush(t *testing.T) {
	for _, recipient := range []string{"anna@example.com", "anna+ext@example.com"} {
		synctest.Test(t, func(t *testing.T) {
			mail1, mail2 := newHost("mail1"), newHost("mail2").takes(5*time.Second)
			s := newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: "+"}, mail1, mail2)
			s.begin("anna@example.com")
			time.Sleep(time.Second)
			mail1.has("anna@example.com")
			s.memory.purge("anna@example.com")
			time.Sleep(time.Second)
			if f := s.look(t, recipient); f.Verdict == Reject {
				t.Errorf("%s: %v, answers %v", recipient, f.Verdict, f.Answers)
			}
			time.Sleep(time.Second)
			wantVerdict(t, s.look(t, recipient), Deliver)
		})
	}
}

// A host says what it knew when the connection was opened: such a no is no reason to
// refuse what was flushed since, and one over a new connection is.
func TestNewMailboxIsNotRefusedOverAConnectionFromBeforeItsFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := time.Now()
		mail1 := newHost("mail1")
		s := newSite(t)
		s.domain.SetHosts([]*Host{{Name: "mail1", Prober: ProberFunc(func(ctx context.Context, a Address) Answer {
			answer := mail1.Ask(ctx, a)
			answer.At = opened
			return answer
		})}})
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		time.Sleep(time.Second)
		s.memory.purge("Anna@example.com")
		time.Sleep(time.Second)
		wantVerdict(t, s.look(t, "bert@example.com"), Reject)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		wantVerdict(t, s.look(t, "ANNA@example.com"), Defer)
		opened = time.Now()
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
	})
}

// The mailbox of the full name is made, and flushed from memory, while a host is asked about
// it that has looked; the name without the extension is asked about afterwards.
func TestNewMailboxWithAnExtensionIsNotRefusedByANoFromBeforeItsFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").takes(2 * time.Second)
		s := newSiteWithExtensions(t, mail1)
		time.AfterFunc(time.Second, func() {
			mail1.has("anna+ext@example.com")
			s.memory.purge("anna+ext@example.com")
		})
		wantVerdict(t, s.look(t, "anna+ext@example.com"), Defer)
		wantDeliver(t, s.look(t, "anna+ext@example.com"), mail1, SourceSearch)
	})
}

// What is remembered of one name is not in doubt because another was flushed.
func TestFlushOfTheFullNameIsNoneOfTheNameWithoutItsExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteWithExtensions(t, newHost("mail1"))
		wantVerdict(t, s.look(t, "anna+ext@example.com"), Reject)
		time.Sleep(time.Second)
		s.memory.purge("anna+ext@example.com")
		time.Sleep(time.Second)
		wantVerdict(t, s.look(t, "anna+ext@example.com"), Reject)
	})
}
