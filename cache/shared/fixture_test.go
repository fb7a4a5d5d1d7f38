package shared

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// waitFor is how long a test waits for what takes milliseconds.
const waitFor = 30 * time.Second

func address(t testing.TB, s string) policy.Address {
	t.Helper()
	a, err := policy.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func serverOf(t testing.TB, url string) Server {
	t.Helper()
	s, err := ParseServer(url)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// frontEnd is a cache that is shared.
type frontEnd struct {
	*cache.Cache
	link *Link
	log  *logbook

	mu      sync.Mutex
	doubted map[cache.Name]time.Time
}

// join starts a front end at a server, until the test ends.
func join(t testing.TB, at Server, change ...func(*Config)) *frontEnd {
	t.Helper()
	c, err := cache.New(cache.Default())
	if err != nil {
		t.Fatal(err)
	}
	f := &frontEnd{Cache: c, log: &logbook{changed: make(chan struct{})}, doubted: make(map[cache.Name]time.Time)}
	cfg := Config{
		Server: at, Expire: cache.DefaultExpire, Cache: c, Log: slog.New(slog.NewTextHandler(f.log, nil)),
		Denied: func(n cache.Name, since time.Time) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.doubted[n] = since
		},
	}
	for _, do := range change {
		do(&cfg)
	}
	f.link = Start(cfg)
	t.Cleanup(f.link.Close)
	return f
}

// redisAt starts a server, and returns where it is and a client of it.
func redisAt(t testing.TB, kind realhost.RedisKind, conf string) (*realhost.RedisServer, Server, *redis.Client) {
	t.Helper()
	return redisOf(t, kind.Start(t, conf))
}

// redisOf is redisAt of a server that is there.
func redisOf(t testing.TB, r *realhost.RedisServer) (*realhost.RedisServer, Server, *redis.Client) {
	t.Helper()
	s := serverOf(t, "redis://"+r.Addr())
	opt := s.options(waitFor, waitFor)
	opt.MaxRetries = 10
	opt.Dialer = nil // it reads also what a front end does not
	client := redis.NewClient(opt)
	t.Cleanup(func() { _ = client.Close() })
	return r, s, client
}

// learns has a front end find the owner of a mailbox.
func (f *frontEnd) learns(t testing.TB, mailbox, host string) {
	t.Helper()
	f.hasLearnt(t, mailbox, host, 0)
}

// hasLearnt is learns a while ago: readings of the server's clock are exact to less.
func (f *frontEnd) hasLearnt(t testing.TB, mailbox, host string, ago time.Duration) {
	t.Helper()
	a := address(t, mailbox)
	f.Own(a, policy.Answer{
		Host: host, Says: policy.Yes, Weak: true, Method: "vrfy", At: time.Now().Add(-ago),
		Reply: policy.Reply{Code: 252, Enhanced: "2.0.0"}, Took: 3 * time.Millisecond,
	})
	f.link.Own(a)
}

// told waits until the others are told all.
func (f *frontEnd) told(t testing.TB) {
	t.Helper()
	if !realhost.Eventually(func() bool { return f.link.pending.len() == 0 }) {
		t.Fatalf("%+v; log:\n%s", f.link.State(), f.log)
	}
}

// consults asks for what the others know, and returns the owner's host.
func (f *frontEnd) consults(t testing.TB, mailbox string) string {
	t.Helper()
	a := address(t, mailbox)
	f.link.Consult(context.Background(), a, func(policy.Answer) bool { return true })
	return f.Recall(a, time.Now()).Owner.Host
}

// finds waits until a front end knows an owner from the others; on a busy machine it
// may not be answered in time at first.
func (f *frontEnd) finds(t testing.TB, mailbox, host string) {
	t.Helper()
	if !realhost.Eventually(func() bool { return f.consults(t, mailbox) == host }) {
		t.Fatalf("%s: owner %q, want %q; %+v", mailbox, f.consults(t, mailbox), host, f.link.State())
	}
}

// forgets waits until a front end knows an owner no more.
func (f *frontEnd) forgets(t testing.TB, mailbox string) {
	t.Helper()
	if !realhost.Eventually(func() bool { return f.Recall(address(t, mailbox), time.Now()).Owner.Says == policy.Unasked }) {
		t.Fatalf("%s is known yet: %+v; log:\n%s", mailbox, f.link.State(), f.log)
	}
}

// isUp waits until a front end talks to the server, and its position is in the streams.
func (f *frontEnd) isUp(t testing.TB) {
	t.Helper()
	if !realhost.Eventually(func() bool { return f.link.State().Why == nil }) {
		t.Fatalf("%+v", f.link.State())
	}
}

// reads waits until a front end has read the streams from now on.
func (f *frontEnd) reads(t testing.TB) {
	t.Helper()
	begun := time.Now()
	if !realhost.Eventually(func() bool {
		f.link.readNow()
		f.link.mu.Lock()
		defer f.link.mu.Unlock()
		return f.link.read.After(begun)
	}) {
		t.Fatalf("%+v", f.link.State())
	}
}

// heardAll waits until front ends have heard of all purges.
func heardAll(t testing.TB, client *redis.Client, all ...*frontEnd) {
	t.Helper()
	last, err := client.XRevRangeN(t.Context(), "postwhere:purges", "+", "-", 1).Result()
	if err != nil || len(last) == 0 {
		return
	}
	for _, f := range all {
		if !realhost.Eventually(func() bool { return !isBefore(f.link.Position().Purges, last[0].ID) }) {
			t.Fatalf("%+v is before %s", f.link.Position(), last[0].ID)
		}
	}
}

// logbook is a log to read in, and to wait for.
type logbook struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// waits waits until there are so many lines with a text.
func (l *logbook) waits(t testing.TB, n int, text string) {
	t.Helper()
	end := time.After(waitFor)
	for {
		l.mu.Lock()
		got, changed := strings.Count(l.text.String(), text), l.changed
		l.mu.Unlock()
		if got >= n {
			return
		}
		select {
		case <-changed:
		case <-end:
			t.Fatalf("%d lines say %q, want %d:\n%s", got, text, n, l)
		}
	}
}

// count returns how many lines have a text.
func (l *logbook) count(text string) int { return strings.Count(l.String(), text) }

// wants wants so many lines with a text.
func (l *logbook) wants(t testing.TB, n int, text string) {
	t.Helper()
	if got := l.count(text); got != n {
		t.Errorf("%d lines say %q, want %d:\n%s", got, text, n, l)
	}
}
