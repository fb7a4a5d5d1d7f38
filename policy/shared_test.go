package policy

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// commons is a Shared of several sites' memories, that never fails.
type commons struct {
	mu     sync.Mutex
	owners map[string]Answer
	denied map[string]time.Time
	asked  int
}

func newCommons() *commons {
	return &commons{owners: make(map[string]Answer), denied: make(map[string]time.Time)}
}

// frontEnd is what one site has of it.
type frontEnd struct {
	*shelf
	*commons
}

func (f frontEnd) Own(a Address, yes Answer) {
	f.shelf.Own(a, yes)
	f.commons.mu.Lock()
	defer f.commons.mu.Unlock()
	yes.At = yes.At.Round(0)
	f.commons.owners[a.Key()] = yes
}

func (f frontEnd) Consult(_ context.Context, a Address, accept func(Answer) bool) time.Time {
	f.commons.mu.Lock()
	f.commons.asked++
	yes, denied := f.commons.owners[a.Key()], f.commons.denied[a.Key()]
	f.commons.mu.Unlock()
	if yes.Says == Yes && accept(yes) && yes.At.After(f.Recall(a, time.Now()).Owner.At) {
		f.shelf.Own(a, yes)
	}
	return denied
}

func (f frontEnd) Deny(a Address, at time.Time) {
	f.commons.mu.Lock()
	defer f.commons.mu.Unlock()
	f.commons.denied[a.Key()] = at.Round(0)
	if !f.commons.owners[a.Key()].At.After(at) {
		delete(f.commons.owners, a.Key())
	}
}

// newFrontEnds returns sites of example.com that have a shared memory, each with
// these hosts.
func newFrontEnds(t *testing.T, n int, hosts ...*mailHost) ([]*site, *commons) {
	t.Helper()
	c := newCommons()
	sites := make([]*site, n)
	for i := range sites {
		s := &site{domain: &Domain{Names: []string{"example.com"}}, memory: newShelf()}
		s.domain.SetHosts(listOf(hosts...))
		f := frontEnd{s.memory, c}
		s.Searcher = NewSearcher([]*Domain{s.domain}, f, Options{
			Deadline: deadline, PreferenceWait: preferenceWait, Reject: rejectReply, Defer: deferReply,
			Shared: f, Log: slog.New(slog.DiscardHandler),
		})
		t.Cleanup(func() { s.Close(context.Background()) })
		sites[i] = s
	}
	return sites, c
}

func TestFindingOfOneFrontEndServesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com")
		at, _ := newFrontEnds(t, 2, mail1, mail2)
		wantDeliver(t, at[0].look(t, "anna@example.com"), mail2, SourceSearch)
		wantAsked(t, 1, mail1, mail2)
		time.Sleep(time.Minute)
		mail2.down()
		var saw []string
		at[1].domain.Hosts()[1].Saw = func(a Address, _ time.Time) { saw = append(saw, a.String()) }
		f := at[1].look(t, "Anna@example.com")
		wantDeliver(t, f, mail2, SourceMemory)
		if len(saw) != 1 || saw[0] != "Anna@example.com" {
			t.Errorf("the host is seen to have %v", saw)
		}
		if f.Age != time.Minute {
			t.Errorf("its age is %v", f.Age)
		}
		wantDeliver(t, at[1].look(t, "anna@example.com"), mail2, SourceMemory)
		wantAsked(t, 0, mail1, mail2)
	})
}

// What is settled here is not asked for elsewhere.
func TestSharedMemoryIsAskedOnceForWhatIsNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, c := newFrontEnds(t, 1, newHost("mail1", "anna@example.com"))
		for range 3 {
			wantVerdict(t, at[0].look(t, "anna@example.com"), Deliver)
			wantVerdict(t, at[0].look(t, "nobody@example.com"), Reject)
		}
		if c.asked != 2 {
			t.Errorf("asked %d times, want once for each address", c.asked)
		}
	})
}

func TestOwnerThatGrewStaleElsewhereIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		at, _ := newFrontEnds(t, 2, mail1)
		at[0].look(t, "anna@example.com")
		time.Sleep(ownerRefresh)
		wantAsked(t, 1, mail1)
		wantDeliver(t, at[1].look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantAsked(t, 1, mail1)
	})
}

// A message that is about to be sent wants the owner's word of late, whoever has it.
func TestFreshLookUpOfAnOwnerFromElsewhereAsksBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		at, _ := newFrontEnds(t, 2, mail1)
		at[0].look(t, "anna@example.com")
		time.Sleep(freshFor)
		wantAsked(t, 1, mail1)
		wantDeliver(t, at[1].ask(t, Request{Recipient: "anna@example.com", Fresh: true}), mail1, SourceMemory)
		synctest.Wait()
		wantAsked(t, 1, mail1)
		time.Sleep(time.Second)
		// The first one need not ask again.
		wantDeliver(t, at[0].ask(t, Request{Recipient: "anna@example.com", Fresh: true}), mail1, SourceMemory)
		synctest.Wait()
		wantAsked(t, 0, mail1)
	})
}

func TestOneFrontEndRefreshesForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		at, _ := newFrontEnds(t, 3, mail1)
		for _, s := range at {
			s.look(t, "anna@example.com")
		}
		time.Sleep(ownerRefresh)
		wantAsked(t, 1, mail1)
		for _, s := range at {
			wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
			synctest.Wait()
			time.Sleep(time.Second)
		}
		wantAsked(t, 1, mail1)
	})
}

// A mailbox that its owner denies to one front end was known a moment ago to all.
// wavering is a memory that says of an owner at each look that he was asked a moment
// later: that is what an age by two clocks comes to.
type wavering struct {
	frontEnd
	looks atomic.Int64
}

func (w *wavering) Recall(a Address, now time.Time) Memo {
	memo := w.frontEnd.Recall(a, now)
	memo.Owner.At = memo.Owner.At.Add(time.Duration(w.looks.Add(1)) * time.Microsecond)
	return memo
}

func TestOwnerWhoseTimeWaversIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1))
		w := &wavering{frontEnd: frontEnd{newShelf(), newCommons()}}
		s := NewSearcher([]*Domain{d}, w, Options{
			Deadline: deadline, PreferenceWait: preferenceWait, Reject: rejectReply, Defer: deferReply,
			Shared: w, Log: slog.New(slog.DiscardHandler),
		})
		defer s.Close(context.Background())
		look := func() {
			f, err := s.Search(t.Context(), Request{Recipient: "anna@example.com"})
			if err != nil || f.Verdict != Deliver {
				t.Error(f, err)
			}
			synctest.Wait()
		}
		look()
		time.Sleep(2 * time.Hour) // stale
		look()
		wantAsked(t, 2, mail1)
	})
}

func TestMailboxDeniedElsewhereIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2")
		at, _ := newFrontEnds(t, 3, mail1, mail2)
		wantDeliver(t, at[0].look(t, "anna@example.com"), mail1, SourceSearch)
		wantDeliver(t, at[1].look(t, "anna@example.com"), mail1, SourceMemory)
		time.Sleep(ownerRefresh)
		mail1.has()
		wantDeliver(t, at[0].look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		for _, i := range []int{0, 2} { // the third has never heard of her
			wantVerdict(t, at[i].look(t, "anna@example.com"), Defer)
		}
		if at[0].memory.owner("anna@example.com") != "" {
			t.Error("she came back from the shared memory")
		}
		time.Sleep(DoubtTime)
		for _, i := range []int{0, 2} {
			wantVerdict(t, at[i].look(t, "anna@example.com"), Reject)
		}
	})
}

func TestDoubtOfAnotherFrontEndsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newHost("mail1"))
		for local, since := range map[string]time.Duration{"ahead": time.Hour, "now": 0, "late": -DoubtTime + time.Second} {
			s.Doubt(AddressOf(local, "example.com"), time.Now().Add(since).Round(0))
		}
		s.Doubt(AddressOf("over", "example.com"), time.Now().Add(-DoubtTime))
		s.Doubt(AddressOf("now", "example.com"), time.Now().Add(-time.Minute)) // and since later
		wantVerdict(t, s.look(t, "over@example.com"), Reject)
		for _, local := range []string{"ahead", "now", "late"} {
			wantVerdict(t, s.look(t, local+"@example.com"), Defer)
		}
		time.Sleep(DoubtTime - time.Second)
		wantVerdict(t, s.look(t, "now@example.com"), Defer)
		time.Sleep(time.Second)
		for _, local := range []string{"ahead", "now", "late"} {
			wantVerdict(t, s.look(t, local+"@example.com"), Reject)
		}
	})
}

// The owner that another front end names is none of this domain's hosts: it counts
// for nothing, but that the mailbox may have been known a moment ago.
func TestOwnerOfAHostThatIsNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at, c := newFrontEnds(t, 1, newHost("mail1"))
		c.owners["anna@example.com"] = Answer{Host: "mail9", Says: Yes, At: time.Now().Round(0)}
		wantVerdict(t, at[0].look(t, "anna@example.com"), Defer)
		if c.owners["anna@example.com"].Host != "mail9" || !c.denied["anna@example.com"].IsZero() {
			t.Error("who has that host was told that she is gone")
		}
		time.Sleep(DoubtTime)
		wantVerdict(t, at[0].look(t, "anna@example.com"), Reject)
	})
}

// A yes from before a denial does not undo it.
func TestOldOwnerFromElsewhereDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1")
		at, c := newFrontEnds(t, 1, mail1)
		c.owners["anna@example.com"] = Answer{Host: "mail1", Says: Yes, At: time.Now().Round(0)}
		time.Sleep(time.Second)
		at[0].Doubt(AddressOf("anna", "example.com"), time.Now())
		wantVerdict(t, at[0].look(t, "anna@example.com"), Defer)
		c.owners["anna@example.com"] = Answer{Host: "mail1", Says: Yes, At: time.Now().Add(time.Second).Round(0)}
		time.Sleep(time.Second)
		wantDeliver(t, at[0].look(t, "anna@example.com"), mail1, SourceMemory)
	})
}

// broken is a Shared with a bug.
type broken struct{ slow time.Duration }

func (b broken) Consult(context.Context, Address, func(Answer) bool) time.Time {
	time.Sleep(b.slow)
	panic("a bug")
}

func (b broken) Deny(Address, time.Time) {}

func TestFaultOfTheSharedMemoryIsAsIfItKnewNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, mail1 := &Domain{Names: []string{"example.com"}}, newHost("mail1", "anna@example.com")
		d.SetHosts(listOf(mail1))
		s := NewSearcher([]*Domain{d}, newShelf(), Options{Deadline: deadline, Shared: broken{5 * ms}, Log: slog.New(slog.DiscardHandler)})
		begun := time.Now()
		f, err := s.Search(t.Context(), Request{Recipient: "anna@example.com"})
		if took := time.Since(begun); err != nil || f.Verdict != Deliver || took != 5*ms {
			t.Errorf("%v, %v after %v", f.Verdict, err, took)
		}
		go func() { _, _ = s.Search(t.Context(), Request{Recipient: "bert@example.com"}) }()
		synctest.Wait()
		s.Close(t.Context())
		if took := time.Since(begun); took != 10*ms {
			t.Errorf("Close waited until %v", took)
		}
	})
}
