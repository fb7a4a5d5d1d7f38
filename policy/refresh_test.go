package policy

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// grownStale returns a site whose memory has mail1 as the owner of
// anna@example.com, due to be asked again.
func grownStale(t *testing.T) (s *site, mail1, mail2 *mailHost) {
	t.Helper()
	mail1, mail2 = newHost("mail1", "anna@example.com"), newHost("mail2")
	s = newSite(t, mail1, mail2)
	wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	time.Sleep(ownerRefresh)
	wantAsked(t, 1, mail1, mail2)
	return s, mail1, mail2
}

func TestOwnerIsNotAskedAgainBeforeItIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		s := newSite(t, mail1)
		s.look(t, "anna@example.com")
		time.Sleep(ownerRefresh - ms)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantAsked(t, 1, mail1)
	})
}

func TestStaleOwnerIsAnsweredFromMemoryAndAskedBehindTheLookUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, mail2 := grownStale(t)
		mail1.takes(3 * time.Second)
		begun := time.Now()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		if took := time.Since(begun); took != 0 {
			t.Errorf("look-up took %v", took)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		wantAsked(t, 1, mail1)
		wantAsked(t, 0, mail2)

		// Still yes: the entry is as new.
		time.Sleep(ownerRefresh - 4*time.Second)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantAsked(t, 0, mail1, mail2)
	})
}

func TestRefreshFindsTheHostThatTheMailboxMovedTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, mail2 := grownStale(t)
		mail1.has()
		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
		wantAsked(t, 1, mail1, mail2)
	})
}

func TestRefreshFindsThatTheMailboxIsGoneAndRefusesItWhenTheDoubtIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, mail2 := grownStale(t)
		mail1.has()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		f := s.look(t, "anna@example.com")
		wantVerdict(t, f, Defer)
		// It may have arrived by now, so the hosts were asked again.
		if f.Source != SourceSearch || f.Reply != deferReply {
			t.Errorf("source %q, client is told %v", f.Source, f.Reply)
		}
		wantAsked(t, 2, mail2)
		wantAsked(t, 3, mail1)
		time.Sleep(DoubtTime - ms)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		time.Sleep(ms)
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
	})
}

// A no that is not believed has the mailbox looked for, too: mail that is sent to where it
// was might bounce there. It is not refused for that, however long it goes on.
func TestOwnersNoThatIsNotBelievedIsADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, mail2 := grownStale(t)
		mail1.does(func(Address) Answer {
			a := UnsureOf("mail1", "its no is not believed")
			a.Denied = true
			return a
		})
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		for range 10 {
			wantVerdict(t, s.look(t, "anna@example.com"), Defer)
			time.Sleep(DoubtTime / 2)
		}
		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
	})
}

func TestOwnersNoAndAnotherHostsUnsureIsNoRejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, mail2 := grownStale(t)
		mail1.has()
		mail2.down()
		s.look(t, "anna@example.com")
		synctest.Wait()
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		wantAsked(t, 1, mail1, mail2)

		time.Sleep(unsureExpire)
		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
	})
}

func TestOwnerThatIsUnsureKeepsTheMailbox(t *testing.T) {
	for name, trouble := range map[string]func(*mailHost){
		"unsure": func(h *mailHost) { h.down() },
		"silent": func(h *mailHost) { h.silent() },
		"panics": func(h *mailHost) { h.does(func(Address) Answer { panic("a bug") }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, mail1, mail2 := grownStale(t)
				trouble(mail1)
				mail2.has("anna@example.com") // a copy, or a mailbox half moved
				for range 10 {
					wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
					time.Sleep(deadline)
				}
				synctest.Wait()
				wantAsked(t, 2, mail1) // every ownerPostpone
				wantAsked(t, 0, mail2)
			})
		})
	}
}

func TestOneRefreshAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, _ := grownStale(t)
		mail1.takes(3 * time.Second)
		for range 10 {
			s.begin("anna@example.com")
			s.begin("Anna@example.com")
		}
		synctest.Wait()
		if q := mail1.questions(); len(q) != 1 {
			t.Errorf("asked %q", q)
		}
	})
}

// forgetsToPostpone is a memory that another front end writes to as well.
type forgetsToPostpone struct{ *shelf }

func (forgetsToPostpone) Postpone(Address) {}

func TestOneRefreshAtATimeWhateverTheMemoryThinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1))
		s := &site{Searcher: newTestSearcher(t, forgetsToPostpone{newShelf()}, d), domain: d}
		s.look(t, "anna@example.com")
		time.Sleep(ownerRefresh)
		mail1.takes(3 * time.Second)
		for range 10 {
			wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
			wantDeliver(t, s.look(t, "Anna@example.com"), mail1, SourceMemory)
		}
		synctest.Wait()
		wantAsked(t, 2, mail1) // the search and one refresh
	})
}

func TestRefreshThatMayNotBeginLeavesTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1))
		memory := newShelf()
		memory.Own(mustParse(t, "anna@example.com"), Answer{Host: "mail1", Says: Yes, At: time.Now().Add(-ownerRefresh)})
		s := &site{domain: d, memory: memory, Searcher: NewSearcher([]*Domain{d}, memory, Options{
			Deadline: deadline, MaxSearches: 1, Log: slog.New(slog.DiscardHandler),
		})}
		defer s.Close(context.Background())
		mail1.takes(time.Second)
		s.begin("bob@example.com")
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		if q := mail1.questions(); len(q) != 1 {
			t.Errorf("asked %q", q)
		}
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
	})
}

func TestRefreshFollowsAMailboxThatItsHostForwardsNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, mail1, mail2 := grownStale(t)
		mail1.always(Answer{Says: Yes, Weak: true}) // 251: it will forward
		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
		wantAsked(t, 1, mail1, mail2)
	})
}
