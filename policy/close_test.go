package policy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestCloseLetsSearchesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com").takes(3 * time.Second)
		s := newSite(t, mail1)
		asker := make(chan Finding, 1)
		go func() {
			f, _ := s.Search(context.Background(), Request{Recipient: "anna@example.com"})
			asker <- f
		}()
		synctest.Wait()
		begun := time.Now()
		s.Close(context.Background())
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("closed after %v", took)
		}
		wantDeliver(t, <-asker, mail1, SourceSearch)
		if got := s.memory.owner("anna@example.com"); got != "mail1" {
			t.Errorf("owner is %q", got)
		}
	})
}

func TestCloseCutsOffWhatIsLeftWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2").takes(8*time.Second)
		s := newSite(t, mail1, mail2)
		asker := make(chan Finding, 1)
		go func() {
			f, _ := s.Search(context.Background(), Request{Recipient: "nobody@example.com"})
			asker <- f
		}()
		synctest.Wait()
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s.Close(ctx)
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("closed after %v", took)
		}
		wantVerdict(t, <-asker, Defer)
	})
}

func TestCloseWithoutTimeCutsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").takes(8 * time.Second)
		s := newSite(t, mail1)
		s.begin("nobody@example.com")
		synctest.Wait()
		begun := time.Now()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Close(ctx)
		if took := time.Since(begun); took != 0 {
			t.Errorf("closed after %v", took)
		}
	})
}

func TestCloseWaitsForTheHostsThatNoAskerWaitsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com").takes(3*time.Second), newHost("mail2", "anna@example.com")
		s := newSite(t, mail1, mail2)
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
		s.Close(context.Background())
		if got := s.memory.owner("anna@example.com"); got != "mail1" {
			t.Errorf("owner is %q", got)
		}
	})
}

func TestCloseWaitsForARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, _ := grownStale(t)
		mail1.takes(3 * time.Second)
		s.look(t, "anna@example.com")
		synctest.Wait()
		begun := time.Now()
		s.Close(context.Background())
		if took := time.Since(begun); took != 3*time.Second {
			t.Errorf("closed after %v", took)
		}
	})
}

func TestClosedSearcherAnswersFromMemoryAndDefersTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com", "bob@example.com")
		s := newSite(t, mail1)
		s.look(t, "anna@example.com")
		s.look(t, "nobody@example.com")
		s.Close(context.Background())
		s.Close(context.Background())
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		wantVerdict(t, s.look(t, "bob@example.com"), Defer)
		time.Sleep(ownerRefresh)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantAsked(t, 2, mail1)
	})
}

func TestCloseMayBeCalledByManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").takes(time.Second)
		s := newSite(t, mail1)
		s.begin("nobody@example.com")
		synctest.Wait()
		closed := make(chan bool, 3)
		for range 3 {
			go func() { s.Close(context.Background()); closed <- true }()
		}
		for range 3 {
			<-closed
		}
	})
}
