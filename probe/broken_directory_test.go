package probe

import (
	"context"
	"fmt"
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

// directory is what a host goes by: it has some mailboxes all the time, which it does not
// find while it is broken.
type directory struct {
	t *testing.T

	mu         sync.Mutex
	broken     bool
	had        []string  // to whom it has said yes
	lastYes    time.Time // when it last did
	breakdowns []breakdown
	counts     map[string]int
}

// breakdown is a time in which a directory was broken.
type breakdown struct {
	yes     time.Time // the last one before
	begun   time.Time
	ended   time.Time // zero: it has not
	noticed time.Time // when it first denied somebody whom it had had; zero: it has not
}

var alwaysThere = []string{"anna", "bert", "carla"}

// finds tells whether a host finds a mailbox in it.
func (d *directory) finds(local string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now, known := time.Now(), slices.Contains(d.had, local)
	switch {
	case !slices.Contains(alwaysThere, local):
		return false
	case !d.broken:
		d.lastYes = now
		if !known {
			d.had = append(d.had, local)
		}
		return true
	}
	if last := &d.breakdowns[len(d.breakdowns)-1]; known && last.noticed.IsZero() {
		last.noticed = now
	}
	return false
}

func (d *directory) breaks(broken bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch now := time.Now(); {
	case broken == d.broken:
	case broken:
		d.breakdowns = append(d.breakdowns, breakdown{yes: d.lastYes, begun: now})
	default:
		d.breakdowns[len(d.breakdowns)-1].ended = now
	}
	d.broken = broken
}

// excuses tells whether a mailbox that is there may have been refused to who asked then: its
// host has said no in the first minute, or nobody could notice that it was broken.
func (d *directory) excuses(asked time.Time) bool {
	return slices.ContainsFunc(d.breakdowns, func(b breakdown) bool {
		switch over := !b.ended.IsZero(); {
		case !b.noticed.IsZero() && b.noticed.Before(asked):
			return false
		case over:
			return asked.Sub(b.ended) < cache.DefaultNo+maxAge
		case len(d.had) == 0: // it was never seen to have somebody
			return true
		}
		return asked.Sub(b.yes) <= witnessFresh+time.Second
	})
}

func (d *directory) judge(recipient string, f policy.Finding, err error, asked time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	local, _, _ := strings.Cut(recipient, "@")
	there := slices.Contains(alwaysThere, local)
	switch {
	case err != nil:
		d.t.Errorf("%s: %v", recipient, err)
	case f.Verdict == policy.Deliver && !there:
		d.t.Errorf("%s is nobody, and sent on", recipient)
	case f.Verdict == policy.Reject && there && !d.excuses(asked):
		d.t.Errorf("%s is refused after %v: %+v", recipient, time.Since(asked), d.breakdowns)
	case f.Verdict == policy.Reject && there:
		d.counts["excused"]++
	case f.Verdict == policy.Reject:
		d.counts["reject from "+f.Source]++
	default:
		d.counts[f.Verdict.String()]++
	}
}

// Whenever the directory of a host breaks, and for however long: from when that shows, or a
// minute after it last had somebody at the latest, nobody is refused whom it has, by nothing
// that is remembered either.
func TestNobodyIsRefusedByABrokenDirectory(t *testing.T) {
	counts := make(map[string]int)
	for range 40 {
		for _, way := range []string{"vrfy", "rcpt", "minger"} {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%s %#x", way, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { anyBreakdown(t, seed, way, counts) })
			})
		}
	}
	for _, what := range []string{"excused", "reject from memory", "reject from search", "defer", "deliver"} {
		if counts[what] == 0 {
			t.Errorf("there was no %s: %v", what, counts)
		}
	}
}

// server is a host in front of a directory, as it is asked in a way.
func (d *directory) server(t *testing.T, way string) (start func(known Knowledge) vouching) {
	if way == "minger" {
		h := &mingerPipes{script: func(n int, query string) []string {
			local, _, _ := strings.Cut(query, "@")
			if local == "postmaster" || d.finds(local) {
				return mingerd("", map[string]string{query: "5"})(n, query)
			}
			return mingerd("", nil)(n, query)
		}}
		t.Cleanup(h.served.Wait)
		return func(known Knowledge) vouching {
			c := mingerConfig()
			c.Endpoint, c.dial, c.Known = Endpoint{Network: "udp", Address: "mail1.d.test:4069"}, h.dial, known
			p, err := NewMinger(c, "")
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	h := newPipeHost(func(dialogue *dialogue, verb, arg string) string {
		if verb != "VRFY" && verb != "RCPT" {
			return ""
		}
		address := strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>")
		local, _, _ := strings.Cut(address, "@")
		if verb == "VRFY" && way == "rcpt" || !d.finds(local) {
			return has(way == "vrfy")(dialogue, verb, arg)
		}
		return has(way == "vrfy", local)(dialogue, verb, arg)
	})
	t.Cleanup(h.conns.Wait)
	return func(known Knowledge) vouching {
		p, err := New(Config{
			Name: "mail1", Endpoint: Endpoint{Network: "tcp"}, Helo: "postwhere-test.front.test", Connections: 3, Known: known,
			ConnectTimeout: patience, ReplyTimeout: patience, Log: slog.New(slog.DiscardHandler), dial: h.dial,
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

func anyBreakdown(t *testing.T, seed uint64, way string, counts map[string]int) {
	chance := rand.New(rand.NewPCG(seed, 1))
	d := &directory{t: t, counts: counts}
	start := d.server(t, way)
	opt := cache.Default()
	opt.Owners, opt.Strangers = 100, 100
	opt.Unsure, opt.Refresh, opt.Expire = time.Second, time.Duration(1+chance.IntN(600))*time.Second, time.Duration(600+chance.IntN(3600))*time.Second
	memory, err := cache.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	p := start(Knowledge{})
	host := &policy.Host{Name: "mail1", Prober: p, Revoked: p.Revoked, Vouched: p.Vouched}
	domain := &policy.Domain{Names: []string{"d.test"}, Delimiter: "+"}
	domain.SetHosts([]*policy.Host{host})
	search := policy.NewSearcher([]*policy.Domain{domain}, memory, policy.Options{Deadline: 30 * time.Second, Log: slog.New(slog.DiscardHandler)})
	pause := func(most int) { time.Sleep(time.Duration(1+chance.IntN(most)) * time.Millisecond) }
	var asking sync.WaitGroup
	for range 5 + chance.IntN(20) {
		switch n := chance.IntN(20); {
		case n == 0: // a restart of the program
			asking.Wait()
			old := p
			p = start(p.Knowledge())
			memory.ForgetStrangers()
			host = &policy.Host{Name: "mail1", Prober: p, Revoked: p.Revoked, Vouched: p.Vouched}
			domain.SetHosts([]*policy.Host{host})
			old.Close()
		case n < 12:
			d.breaks(!d.broken)
		}
		for range chance.IntN(12) {
			local := alwaysThere[chance.IntN(3)]
			if chance.IntN(2) == 0 {
				local = fmt.Sprintf("nobody%d", chance.IntN(4))
			}
			recipient := local + []string{"", "", "+ext"}[chance.IntN(3)] + "@d.test"
			asking.Go(func() {
				asked := time.Now()
				f, err := search.Search(context.Background(), policy.Request{Recipient: recipient})
				d.judge(strings.Replace(recipient, "+ext", "", 1), f, err, asked)
			})
			if chance.IntN(3) > 0 {
				pause([]int{3, 1000, 60_000, 200_000}[chance.IntN(4)])
			}
		}
		pause([]int{10, 30_000, 400_000}[chance.IntN(3)])
	}
	asking.Wait()
	d.breaks(false)
	// Whole again, it soon is as before.
	time.Sleep(policy.DoubtTime + time.Minute)
	for _, local := range append(alwaysThere, "nobody") {
		pause(10)
		f, err := search.Search(t.Context(), policy.Request{Recipient: local + "@d.test"})
		if want := map[bool]policy.Verdict{true: policy.Deliver, false: policy.Reject}[local != "nobody"]; err != nil || f.Verdict != want {
			t.Errorf("when all is whole %s: %s, %s, %v", local, f.Verdict, f.Why, err)
		}
	}
	search.Close(context.Background())
	p.Close()
}
