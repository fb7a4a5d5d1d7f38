package policy

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// faulty is a memory that panics in the methods that are named.
type faulty struct {
	*shelf
	mu     sync.Mutex
	broken string
}

func (m *faulty) breaks(methods string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = methods
}

func (m *faulty) fault(method string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if strings.Contains(m.broken, method+".") {
		panic("memory is broken in " + method)
	}
}

func (m *faulty) Recall(a Address, now time.Time) Memo {
	m.fault("Recall")
	return m.shelf.Recall(a, now)
}
func (m *faulty) Own(a Address, yes Answer)        { m.fault("Own"); m.shelf.Own(a, yes) }
func (m *faulty) Postpone(a Address)               { m.fault("Postpone"); m.shelf.Postpone(a) }
func (m *faulty) Disown(a Address)                 { m.fault("Disown"); m.shelf.Disown(a) }
func (m *faulty) Keep(a Address, answers []Answer) { m.fault("Keep"); m.shelf.Keep(a, answers) }

func (m *faulty) Purged(a Address, answers []Answer) bool {
	m.fault("Purged")
	return m.shelf.Purged(a, answers)
}

// siteOfFaulty has anna on mail1 and nobody else.
func siteOfFaulty(t *testing.T) (*site, *faulty, *mailHost) {
	t.Helper()
	m := &faulty{shelf: newShelf()}
	mail1 := newHost("mail1", "anna@example.com")
	d := &Domain{Names: []string{"example.com"}}
	d.SetHosts(listOf(mail1))
	return &site{Searcher: newTestSearcher(t, m, d), domain: d, memory: m.shelf}, m, mail1
}

func TestFaultOfTheMemoryIsAnErrorAndNoVerdict(t *testing.T) {
	for _, tt := range []struct{ broken, recipient string }{
		{"Recall.", "anna@example.com"},
		{"Own.", "anna@example.com"},
		{"Keep.", "nobody@example.com"},
	} {
		t.Run(tt.broken, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, memory, _ := siteOfFaulty(t)
				memory.breaks(tt.broken)
				for range 3 {
					f, err := s.Search(t.Context(), Request{Recipient: tt.recipient})
					if err == nil || f.Verdict != Defer {
						t.Errorf("%v, error %v", f.Verdict, err)
					}
				}
				memory.breaks("")
				wantDeliver(t, s.look(t, "anna@example.com"), s.first(), SourceSearch)
			})
		})
	}
}

func (s *site) first() *mailHost { return s.domain.Hosts()[0].Prober.(*mailHost) }

func TestFaultOfTheMemoryBehindALookUpHarmsNobody(t *testing.T) {
	for _, broken := range []string{"Own.", "Disown.", "Keep.", "Disown.Keep."} {
		t.Run(broken, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, memory, mail1 := siteOfFaulty(t)
				wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
				time.Sleep(ownerRefresh)
				memory.breaks(broken)
				if broken != "Own." {
					mail1.has()
				}
				wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
				synctest.Wait()
				wantAsked(t, 2, mail1)
			})
		})
	}
}

func TestFaultOfTheMemoryWithALateYesHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &faulty{shelf: newShelf()}
		mail1, mail2 := newHost("mail1", "anna@example.com").takes(time.Second), newHost("mail2", "anna@example.com")
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1, mail2))
		s := &site{Searcher: newTestSearcher(t, memory, d)}
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
		memory.breaks("Own.")
		time.Sleep(time.Second)
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceMemory)
	})
}

func TestFaultWhileARefreshSearchesIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, memory, mail1 := siteOfFaulty(t)
		s.look(t, "anna@example.com")
		time.Sleep(ownerRefresh)
		mail1.does(func(Address) Answer { memory.breaks("Recall."); return Answer{Says: No} })
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		memory.breaks("")
		mail1.has()
		wantVerdict(t, s.look(t, "anna@example.com"), Defer) // it was there a moment ago
		time.Sleep(DoubtTime)
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
	})
}

// breaking is a Shared behind which memory breaks.
type breaking struct{ *faulty }

func (b breaking) Consult(context.Context, Address, func(Answer) bool) time.Time {
	b.breaks("Recall.")
	return time.Time{}
}

func (b breaking) Deny(Address, time.Time) {}

// No asker's goroutine does that, who would notice.
func TestFaultOfTheMemoryBehindTheSharedOneIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, mail1 := &faulty{shelf: newShelf()}, newHost("mail1", "anna@example.com")
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1))
		s := &site{Searcher: NewSearcher([]*Domain{d}, m, Options{Deadline: deadline, Shared: breaking{m}, Log: slog.New(slog.DiscardHandler)})}
		defer s.Close(context.Background())
		wantVerdict(t, s.look(t, "anna@example.com"), Deliver)
	})
}

func TestTooManySearchesAreDeferredAndNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "a@example.com", "b@example.com", "c@example.com").takes(time.Second)
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1))
		s := &site{domain: d, Searcher: NewSearcher([]*Domain{d}, newShelf(), Options{
			Deadline: deadline, MaxSearches: 2, Defer: deferReply, Log: slog.New(slog.DiscardHandler),
		})}
		defer s.Close(context.Background())
		s.begin("a@example.com")
		s.begin("b@example.com")
		synctest.Wait()

		begun := time.Now()
		for range 3 {
			f := s.look(t, "c@example.com")
			wantVerdict(t, f, Defer)
			if f.Reply != deferReply || f.Why == "" {
				t.Errorf("client is told %v because %q", f.Reply, f.Why)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("took %v", took)
		}
		// Who joins a search begins none.
		wantDeliver(t, s.look(t, "a@example.com"), mail1, SourceSearch)
		synctest.Wait()
		wantDeliver(t, s.look(t, "c@example.com"), mail1, SourceSearch)
		wantAsked(t, 3, mail1)
	})
}

func TestEverySearchThatIsCountedInIsCountedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, memory, mail1 := siteOfFaulty(t)
		for _, round := range []func(){
			func() { mail1.has("anna@example.com") },
			func() { mail1.down() },
			func() { mail1.silent() },
			func() { mail1.takes(0).does(func(Address) Answer { panic("a bug") }) },
			func() { memory.breaks("Own.Keep.Disown."); mail1.has() },
			func() { memory.breaks("Recall.") },
			func() { memory.breaks(""); mail1.has() },
		} {
			round()
			for range 3 {
				_, _ = s.Search(t.Context(), Request{Recipient: "anna@example.com"})
				_, _ = s.Search(t.Context(), Request{Recipient: "nobody@example.com", Wait: ms})
				time.Sleep(ownerRefresh)
			}
			synctest.Wait()
			s.mu.Lock()
			if s.running != 0 {
				t.Errorf("%d searches are said to be under way", s.running)
			}
			s.mu.Unlock()
		}
	})
}

func TestObserveSeesEveryRequestOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type seen struct {
			recipient string
			verdict   Verdict
			failed    bool
			took      time.Duration
		}
		var got []seen
		memory := &faulty{shelf: newShelf()}
		mail1 := newHost("mail1", "anna@example.com").takes(time.Second)
		d := &Domain{Names: []string{"example.com"}}
		d.SetHosts(listOf(mail1))
		s := NewSearcher([]*Domain{d}, memory, Options{
			Deadline: deadline,
			Log:      slog.New(slog.DiscardHandler),
			Observe: func(r Request, f Finding, err error, took time.Duration) {
				got = append(got, seen{r.Recipient, f.Verdict, err != nil, took})
			},
		})
		defer s.Close(context.Background())
		for _, recipient := range []string{"anna@example.com", "anna@example.com", "nobody@example.com", "anna@example.net"} {
			_, _ = s.Search(t.Context(), Request{Recipient: recipient})
		}
		memory.breaks("Recall.")
		if _, err := s.Search(t.Context(), Request{Recipient: "anna@example.com"}); err == nil || errors.Is(err, ErrUnaskable) {
			t.Errorf("error %v", err)
		}
		want := []seen{
			{"anna@example.com", Deliver, false, time.Second},
			{"anna@example.com", Deliver, false, 0},
			{"nobody@example.com", Reject, false, time.Second},
			{"anna@example.net", Pass, false, 0},
			{"anna@example.com", Defer, true, 0},
		}
		if len(got) != len(want) {
			t.Fatalf("seen %v", got)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("request %d: seen %v, want %v", i, got[i], want[i])
			}
		}
	})
}
