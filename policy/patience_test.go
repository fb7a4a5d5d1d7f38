package policy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAskerWhoseTimeIsUpIsDeferredAndTheNextFindsTheResult(t *testing.T) {
	for _, tt := range []struct {
		name string
		ask  func(*site) (Finding, error)
	}{
		{"by the request's Wait", func(s *site) (Finding, error) {
			return s.Search(context.Background(), Request{Recipient: "anna@example.com", Wait: time.Second})
		}},
		{"by his context", func(s *site) (Finding, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			return s.Search(ctx, Request{Recipient: "anna@example.com"})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mail1, mail2 := newHost("mail1").takes(3*time.Second), newHost("mail2", "anna@example.com").takes(3*time.Second)
				s := newSite(t, mail1, mail2)
				begun := time.Now()
				f, err := tt.ask(s)
				if took := time.Since(begun); err != nil || took != time.Second {
					t.Errorf("took %v, error %v", took, err)
				}
				wantVerdict(t, f, Defer)
				if f.Reply != deferReply || f.Why == "" {
					t.Errorf("client is told %v because %q", f.Reply, f.Why)
				}

				time.Sleep(2 * time.Second)
				synctest.Wait()
				wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
				wantAsked(t, 1, mail1, mail2)
			})
		})
	}
}

func TestAskerWhoIsGoneStillHasHisSearchDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").takes(time.Second)
		s := newSite(t, mail1)
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		f, err := s.Search(gone, Request{Recipient: "nobody@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		wantVerdict(t, f, Defer)
		time.Sleep(time.Second)
		synctest.Wait()
		f = s.look(t, "nobody@example.com")
		wantVerdict(t, f, Reject)
		if f.Source != SourceMemory {
			t.Errorf("source %q", f.Source)
		}
		wantAsked(t, 1, mail1)
	})
}

func TestOneAskersHasteIsNotTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com").takes(3 * time.Second)
		s := newSite(t, mail1)
		hasty := make(chan Finding, 1)
		go func() {
			f, _ := s.Search(context.Background(), Request{Recipient: "anna@example.com", Wait: time.Second})
			hasty <- f
		}()
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		wantVerdict(t, <-hasty, Defer)
		wantAsked(t, 1, mail1)
	})
}

func TestNoAskerWaitsLongerThanTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").silent()
		s := newSite(t, mail1)
		begun := time.Now()
		f := s.ask(t, Request{Recipient: "anna@example.com", Wait: time.Hour})
		wantVerdict(t, f, Defer)
		if took := time.Since(begun); took != deadline {
			t.Errorf("took %v, want %v", took, deadline)
		}
	})
}

func TestHostSilentUntilTheDeadlineIsUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2").silent()
		s := newSite(t, mail1, mail2)
		wantVerdict(t, s.look(t, "nobody@example.com"), Defer)
		synctest.Wait()

		f := s.look(t, "nobody@example.com")
		wantVerdict(t, f, Defer)
		if f.Source != SourceMemory || len(f.Answers) != 2 || f.Answers[0].Says != No || f.Answers[1].Says != Unsure {
			t.Errorf("from %q: %v", f.Source, f.Answers)
		}
		wantAsked(t, 1, mail1, mail2)
	})
}

func TestYesBeforeTheDeadlineIsNotLostByIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := deadline - 100*ms
		mail1, mail2 := newHost("mail1").silent(), newHost("mail2", "anna@example.com").takes(late)
		s := newSite(t, mail1, mail2)
		wantVerdict(t, s.ask(t, Request{Recipient: "anna@example.com", Wait: time.Second}), Defer)
		time.Sleep(deadline)
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
	})
}

// A prober has to return when its context ends. One that does not holds up its
// search, but no asker.
func TestProberThatHangsHoldsUpNoAsker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hung := newHost("mail1").does(func(Address) Answer { <-release; return Answer{Says: No} })
		mail2 := newHost("mail2")
		s := newSite(t, hung, mail2)
		for range 3 {
			begun := time.Now()
			wantVerdict(t, s.look(t, "nobody@example.com"), Defer)
			if took := time.Since(begun); took != deadline {
				t.Errorf("took %v, want %v", took, deadline)
			}
			time.Sleep(unsureExpire)
		}
		close(release)
		synctest.Wait()
		wantAsked(t, 1, mail2)
	})
}

func TestAnswerAfterTheDeadlineCountsNoMore(t *testing.T) {
	for _, says := range []Says{Yes, No} {
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			hung := newHost("mail1").does(func(Address) Answer { <-release; return Answer{Says: says} })
			mail2 := newHost("mail2", "anna@example.com")
			s := newSite(t, hung, mail2)
			wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
			wantVerdict(t, s.look(t, "nobody@example.com"), Defer)
			synctest.Wait() // until the search has ended too, not only the asker's time
			close(release)
			synctest.Wait()
			wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
			wantVerdict(t, s.look(t, "nobody@example.com"), Defer)
		})
	}
}
