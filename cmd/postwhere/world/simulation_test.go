package world

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// simulation plays a history with the real search and the real memory.
type simulation struct {
	t      *testing.T
	began  time.Time
	hosts  []*policy.Host
	memory *cache.Cache
	search *policy.Searcher
	askers sync.WaitGroup

	mu     sync.Mutex
	oracle *simOracle
}

// ask is a host's prober. How long it takes is drawn by the question alone: the
// order in which goroutines run must not change the history.
func (s *simulation) ask(ctx context.Context, host int, a policy.Address) policy.Answer {
	put := s.now()
	name := fmt.Sprintf("mail%d", host)
	m := s.oracle.mailboxOf(a.Local())
	s.mu.Lock()
	s.oracle.questions[m] = append(s.oracle.questions[m], put)
	s.mu.Unlock()
	took := fnv.New64a()
	_, _ = fmt.Fprint(took, host, a, put)
	delay := time.Millisecond + time.Duration(took.Sum64()%uint64(200*time.Millisecond))
	switch s.oracle.trouble(host, put) {
	case refusing:
		return policy.UnsureOf(name, "connection refused")
	case panicking:
		panic("a bug")
	case hanging:
		<-ctx.Done()
		return policy.UnsureOf(name, "%v", ctx.Err())
	case slow:
		delay *= 60
	}
	answer := policy.Answer{Says: policy.No, At: time.Now()}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return policy.UnsureOf(name, "%v", ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if stay, ok := m.on(host, s.now()); ok {
		answer.Says, answer.Weak = policy.Yes, stay.forwards
		s.oracle.lastYes[host][m] = put
	} else {
		s.oracle.lastNo[host][a.Local()] = put
	}
	return answer
}

// mailboxOf returns the mailbox of a local part, in any spelling.
func (h *simHistory) mailboxOf(local string) *simMailbox {
	return h.mailboxes[slices.IndexFunc(h.mailboxes, func(m *simMailbox) bool { return strings.EqualFold(m.local, local) })]
}

func (s *simulation) now() time.Duration { return time.Since(s.began) }

// start starts the program with an empty memory, and what another one has doubts of.
func (s *simulation) start(doubts *policy.Doubts) {
	opt, ok := simOptions()
	if !ok {
		s.t.Fatalf("the oracle goes by other lifetimes than %+v", opt.Lifetimes)
	}
	var err error
	if s.memory, err = cache.New(opt); err != nil {
		s.t.Fatal(err)
	}
	domain := &policy.Domain{Names: []string{"example.com"}, NoLife: simNo}
	domain.SetHosts(s.hosts)
	s.search = policy.NewSearcher([]*policy.Domain{domain}, s.memory, policy.Options{
		Deadline: simDeadline, PreferenceWait: 500 * time.Millisecond,
		Log: slog.New(slog.DiscardHandler), Doubts: doubts,
	})
}

// restart ends the program, and starts it with what is left of its memory.
func (s *simulation) restart(kind restartKind) {
	patience := context.Background()
	written := slices.Collect(s.memory.Owners())
	if kind != stopped {
		time.Sleep(5 * time.Second) // this much is not on the disk
		ended, end := context.WithCancel(patience)
		end()
		patience = ended
	}
	s.search.Close(patience)
	var doubts *policy.Doubts
	if kind == stopped {
		written, doubts = slices.Collect(s.memory.Owners()), policy.RestoreDoubts(s.search.Doubts().All())
	}
	s.start(doubts)
	if kind != emptied {
		for _, owner := range written {
			s.memory.Restore(owner)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oracle.restart(kind, s.now())
}

// lookUp asks as one of the faces does, and has the finding judged.
func (s *simulation) lookUp(l simLookup) {
	search, request := s.search, policy.Request{Recipient: l.spelling + "@example.com", Face: "policy", Door: true}
	if l.delivery {
		request.Face, request.Door, request.Fresh, request.Wait = "socketmap", false, true, time.Second
	}
	s.askers.Go(func() {
		l.at = s.now()
		f, err := search.Search(context.Background(), request)
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.oracle.accuse(s.now(), "%s: %v", l.spelling, err)
			return
		}
		s.oracle.judge(l, f, s.now())
	})
}

// play plays a history, and returns what the oracle has to say.
func (h *simHistory) play(t *testing.T) (faults []string, counts map[string]int) {
	synctest.Test(t, func(t *testing.T) {
		s := &simulation{t: t, began: time.Now(), oracle: newSimOracle(h)}
		for i := range simHosts {
			s.hosts = append(s.hosts, &policy.Host{
				Name:    fmt.Sprintf("mail%d", i),
				Prober:  policy.ProberFunc(func(ctx context.Context, a policy.Address) policy.Answer { return s.ask(ctx, i, a) }),
				Drained: func() bool { return h.trouble(i, s.now()) == drained },
			})
		}
		s.start(nil)
		restarts := h.restarts
		for _, l := range h.lookups {
			for len(restarts) > 0 && restarts[0].at <= l.at {
				time.Sleep(restarts[0].at - s.now())
				s.restart(restarts[0].kind)
				restarts = restarts[1:]
			}
			time.Sleep(l.at - s.now())
			s.lookUp(l)
		}
		s.askers.Wait()
		s.search.Close(context.Background())
		faults, counts = s.oracle.faults, s.oracle.counts
	})
	return faults, counts
}

// Thirty days of look-ups: no mailbox is refused that has existed for longer than
// a no lives, and nothing is sent to where a mailbox was before, once a host that
// is up would have said so. A seed that failed is added to the fixed ones: it plays
// the same history, but for the jitter, which each memory draws for itself.
func TestThirtyDays(t *testing.T) {
	for _, seed := range []uint64{1, 2, rand.Uint64(), rand.Uint64()} {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			faults, counts := newSimHistory(seed).play(t)
			for _, fault := range faults[:min(len(faults), 10)] {
				t.Error(fault)
			}
			if len(faults) > 10 {
				t.Errorf("… %d faults in all", len(faults))
			}
			for _, what := range []string{
				"reject from memory", "reject from search", "bounce", "deliver from memory", "deliver from search",
				"defer from memory", "defer from search", "doubt", "refresh", "move followed", "route to where it was",
				"route to a host in trouble", "appearance", "owner expired", "restart",
			} {
				if counts[what] == 0 {
					t.Errorf("there was no %s", what)
				}
			}
			t.Log(counts)
		})
	}
}
