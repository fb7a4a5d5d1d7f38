package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// judgeReject: no mailbox is refused that has been there for longer than a no is
// remembered, or was there when it was flushed from memory.
func (w *world) judgeReject(names []string, f Finding) {
	now := time.Now()
	if len(w.listed) == 0 && w.relist.Before(now) {
		w.accuse("rejected %q, and there are no hosts", names)
	}
	for _, h := range w.listed {
		for _, name := range names {
			if w.relist.Before(now) && h.hasHad(name, now.Add(-noExpire)) {
				w.accuse("rejected %q by %v from %s, and %s has it", name, f.Answers, f.Source, h.name)
			}
			if at := w.flushed[strings.ToLower(name)]; w.relist.Before(at) && at.Before(now) && h.hasHad(name, at) {
				w.accuse("rejected %q by %v from %s, and it was flushed %v ago", name, f.Answers, f.Source, now.Sub(at))
			}
		}
	}
}

// judgeLastResort: nothing goes there unasked that another host has had for longer
// than a no is remembered.
func (w *world) judgeLastResort(names []string, f Finding) {
	now := time.Now()
	for _, h := range w.listed {
		for _, name := range names {
			if h.name != w.last && w.relist.Before(now) && h.hasHad(name, now.Add(-noExpire)) {
				w.accuse("delivered %q to the last resort by %v from %s, and %s has it", name, f.Answers, f.Source, h.name)
			}
		}
	}
	if f.Host.Name != w.last || len(w.listed) < 2 {
		w.accuse("delivered %q to %s as the last resort of %d hosts", names, f.Host.Name, len(w.listed))
	}
}

// judgeDeliver: a host that is delivered to has said yes, and says so still if
// there was an occasion to ask it again.
func (w *world) judgeDeliver(names []string, f Finding) {
	h := f.Host.Prober.(*worldHost)
	for _, name := range names {
		if yes := h.yes(name); !yes.IsZero() && !w.wasDue(name, h, yes.Add(ownerRefresh)) {
			return
		}
	}
	w.accuse("delivered %q to %s, which said yes at %v", names, h.name, h.yes(names[0]).Sub(w.began))
}

// wasDue tells whether a host must have been asked again since its yes became
// stale: there was a look-up, long enough ago, while the host was well.
func (w *world) wasDue(name string, h *worldHost, stale time.Time) bool {
	for _, at := range w.lookups[strings.ToLower(name)] {
		calm := at.Add(-ownerPostpone - 2*deadline)
		if !at.Before(stale) && time.Since(at) > 2*deadline && h.wellSince(calm) && w.relist.Before(calm) {
			return true
		}
	}
	return false
}

// judgeDoubt: no mailbox is refused that was delivered to a moment ago.
func (w *world) judgeDoubt(local string, asked time.Time) {
	at, ok := w.delivered[local]
	if ok && asked.After(at) && time.Since(at) < DoubtTime {
		w.accuse("rejected %q, which was delivered %v ago", local, time.Since(at))
	}
}

// mayDoubt tells whether one of the mailboxes may have lost its owner lately: a
// host that had said yes to it said no, or was none of the domain's.
func (w *world) mayDoubt(names []string) bool {
	lately := time.Now().Add(-DoubtTime - 2*deadline)
	for _, h := range w.all {
		off := !slices.Contains(w.listed, h) || w.off[h].After(lately)
		for _, name := range names {
			if !h.yes(name).IsZero() && (off || h.no(name).After(lately)) {
				return true
			}
		}
	}
	return false
}

// judgeDefer: nobody is deferred while all hosts are well, but who is doubted.
func (w *world) judgeDefer(names []string, f Finding, asked time.Time, wait time.Duration) {
	calm := asked.Add(-2*deadline - unsureExpire)
	if len(w.listed) == 0 || wait != 0 || !w.relist.Before(calm) || strings.Contains(f.Why, "grew too old") {
		return
	}
	if strings.Contains(f.Why, "until a moment ago") && w.mayDoubt(names) {
		return
	}
	for _, name := range names {
		if strings.Contains(f.Why, "flushed from memory") && w.flushed[strings.ToLower(name)].After(calm) {
			return
		}
	}
	for _, h := range w.listed {
		if !h.wellSince(calm) {
			return
		}
	}
	w.accuse("deferred %q by %v because %s, and all hosts are well", names, f.Answers, f.Why)
}

// step is something that happens in the world.
type step struct {
	name string
	do   func(*world)
}

func (s step) String() string { return s.name }

var (
	hostNumber = rapid.IntRange(0, 2)
	locals     = rapid.SampledFrom([]string{"anna", "Anna", "bob", "anna+x", "bob+X"})
	pauses     = rapid.SampledFrom([]time.Duration{
		0, ms, 400 * ms, time.Second, 5 * time.Second, 11 * time.Second, time.Minute,
		noExpire - 3*time.Second, noExpire + time.Second, 20 * time.Minute, ownerRefresh,
	})
)

func someLookUp(t *rapid.T) step {
	local := locals.Draw(t, "local part")
	wait := rapid.SampledFrom([]time.Duration{0, 0, time.Second}).Draw(t, "wait")
	return step{fmt.Sprintf("look up %s for %v", local, wait), func(w *world) { w.lookUp(local, wait) }}
}

func somePause(t *rapid.T) step {
	pause := pauses.Draw(t, "pause")
	return step{fmt.Sprintf("pause %v", pause), func(*world) { time.Sleep(pause) }}
}

func someArrival(t *rapid.T) step {
	i, local, weak := hostNumber.Draw(t, "host"), locals.Draw(t, "local part"), rapid.Bool().Draw(t, "weak")
	return step{fmt.Sprintf("put %s on %d, weak %v", local, i, weak), func(w *world) { w.all[i].put(local, weak) }}
}

func someRemoval(t *rapid.T) step {
	i, local := hostNumber.Draw(t, "host"), locals.Draw(t, "local part")
	return step{fmt.Sprintf("remove %s from %d", local, i), func(w *world) { w.all[i].remove(local) }}
}

func someTrouble(t *rapid.T) step {
	i, trouble := hostNumber.Draw(t, "host"), trouble(rapid.IntRange(0, int(troubles)-1).Draw(t, "trouble"))
	delay := rapid.SampledFrom([]time.Duration{0, 100 * ms, time.Second, quick, 9 * time.Second}).Draw(t, "delay")
	return step{fmt.Sprintf("%d is in trouble %d and takes %v", i, trouble, delay), func(w *world) { w.all[i].fare(trouble, delay) }}
}

func recovery(*rapid.T) step {
	return step{"all are well", func(w *world) {
		for _, h := range w.all {
			h.fare(up, 0)
		}
	}}
}

func someHosts(t *rapid.T) step {
	some := rapid.SampledFrom([][]int{{0, 1, 2}, {0, 1, 2}, {0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2}, {0, 1}, {2}, {}}).Draw(t, "hosts")
	return step{fmt.Sprintf("hosts are %v", some), func(w *world) {
		var hosts []*worldHost
		for _, i := range some {
			hosts = append(hosts, w.all[i])
		}
		w.list(hosts)
	}}
}

func someFlush(t *rapid.T) step {
	i, local := hostNumber.Draw(t, "host"), locals.Draw(t, "local part")
	return step{fmt.Sprintf("put %s on %d and flush it", local, i), func(w *world) {
		w.all[i].put(local, false)
		time.Sleep(ms) // then it was there before, for sure
		w.flush(local)
	}}
}

func purge(*rapid.T) step {
	return step{"forget", func(w *world) { w.forget() }}
}

// steps draws what happens: mostly look-ups.
func steps(t *rapid.T) []step {
	kind := rapid.SampledFrom([]func(*rapid.T) step{
		someLookUp, someLookUp, someLookUp, someLookUp, someLookUp, someLookUp, somePause, somePause, somePause,
		someArrival, someArrival, someRemoval, someTrouble, someTrouble, recovery, recovery, someHosts, purge, someFlush,
	})
	n := rapid.SampledFrom([]int{3, 5, 10, 30, 100, 300}).Draw(t, "number of steps")
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step { return kind.Draw(t, "kind")(t) }), n, n).Draw(t, "steps")
}

// play lets the steps happen one after another, the look-ups behind them so that
// the world changes meanwhile, and returns the rules that were broken.
func play(t *testing.T, folds []bool, delimiter, last string, steps []step) (faults []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			site:    newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: delimiter}),
			began:   time.Now(),
			last:    last,
			lookups: make(map[string][]time.Time),

			delivered: make(map[string]time.Time),
			flushed:   make(map[string]time.Time),
			off:       make(map[*worldHost]time.Time),
		}
		for i, f := range folds {
			w.all = append(w.all, newWorldHost(fmt.Sprintf("mail%d", i), f))
		}
		w.list(w.all)
		var askers sync.WaitGroup
		for _, s := range steps {
			if strings.HasPrefix(s.name, "look up") {
				askers.Go(func() { s.do(w) })
				synctest.Wait()
			} else {
				s.do(w)
			}
		}
		askers.Wait()
		w.Close(context.Background())
		faults = w.faults
	})
	return faults
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		folds := rapid.SliceOfN(rapid.Bool(), 3, 3).Draw(rt, "hosts that fold case")
		delimiter := rapid.SampledFrom([]string{"", "+"}).Draw(rt, "recipient_delimiter")
		last := rapid.SampledFrom([]string{"", "mail1"}).Draw(rt, "last resort")
		for _, fault := range play(t, folds, delimiter, last, steps(rt)) {
			rt.Error(fault)
		}
	})
}
