package disk

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// patience is how long a test waits for what takes milliseconds.
const patience = 30 * time.Second

func newCache(t testing.TB, change ...func(*cache.Options)) *cache.Cache {
	t.Helper()
	opt := cache.Default()
	for _, f := range change {
		f(&opt)
	}
	c, err := cache.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "cache.db")
}

func address(t testing.TB, s string) policy.Address {
	t.Helper()
	a, err := policy.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// nth returns an address of 24 octets.
func nth(t testing.TB, i int) policy.Address {
	t.Helper()
	return address(t, fmt.Sprintf("user%08d@example.com", i))
}

func yes(host string) policy.Answer {
	return policy.Answer{
		Host: host, Says: policy.Yes, Weak: true, Method: "vrfy", At: time.Now(),
		Reply: policy.Reply{Code: 252, Enhanced: "2.0.0"}, Took: 3 * time.Millisecond,
	}
}

// keep starts to keep a cache in a file, whose content it has when keep returns.
func keep(t testing.TB, path string, c *cache.Cache) (*Keeper, *logbook) {
	t.Helper()
	log := &logbook{}
	k := Start(path, c, slog.New(slog.NewTextHandler(log, nil)), nil)
	t.Cleanup(k.Close)
	k.Wait(patience)
	return k, log
}

// reborn returns what a new process knows from a file.
func reborn(t testing.TB, path string, change ...func(*cache.Options)) (*cache.Cache, *logbook) {
	t.Helper()
	c := newCache(t, change...)
	k, log := keep(t, path, c)
	k.Close()
	return c, log
}

func wantOwner(t testing.TB, c *cache.Cache, a policy.Address, host string) {
	t.Helper()
	if o := c.Recall(a, time.Now()).Owner; o.Host != host || (o.Says == policy.Yes) != (host != "") {
		t.Errorf("owner of %s: got %v, want host %q", a, o, host)
	}
}

// logbook is a log to read in.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wants wants so many lines with a text.
func (l *logbook) wants(t testing.TB, n int, text string) {
	t.Helper()
	if got := strings.Count(l.String(), text); got != n {
		t.Errorf("%d lines say %q, want %d:\n%s", got, text, n, l)
	}
}
