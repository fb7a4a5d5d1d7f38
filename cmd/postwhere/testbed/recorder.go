package testbed

import (
	"context"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// Parse reads a configuration. Memory is kept only in a file that it names: what a
// daemon of this machine keeps is not the tests'.
func Parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Cache.File == config.DefaultCacheFile {
		cfg.Cache.File = ""
	}
	return cfg
}

// Event is one decision.
type Event struct {
	Request policy.Request
	Finding policy.Finding
	Err     error
}

// Recorder has what a daemon decided and logged. Its log is written to it. Its methods
// may be called concurrently.
type Recorder struct {
	mu     sync.Mutex
	events []Event
	log    strings.Builder
}

// Write takes a line of the log.
func (r *Recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// Logged tells whether the log has a text.
func (r *Recorder) Logged(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), text)
}

// Text returns the log so far.
func (r *Recorder) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// Count returns how often the log has a text.
func (r *Recorder) Count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

// Observe takes what became of a request.
func (r *Recorder) Observe(q policy.Request, f policy.Finding, err error, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, Event{q, f, err})
}

// All returns what was decided so far.
func (r *Recorder) All() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// Log returns what puts a daemon's log into the test's.
func Log(t *testing.T) io.Writer { return testLog{t} }

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil { // after the test its log is closed
		l.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

// Listens waits until the log says where a face listens, at an address that begins so.
func (r *Recorder) Listens(t *testing.T, face, begin string) (address string) {
	t.Helper()
	if !realhost.Eventually(func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range Listening.FindAllStringSubmatch(r.log.String(), -1) {
			if m[1] == face && strings.HasPrefix(m[2], begin) {
				address = m[2]
			}
		}
		return address != ""
	}) {
		t.Fatalf("%s does not listen", face)
	}
	return address
}

// Listening finds in the log which face listens, and where.
var Listening = regexp.MustCompile(`listening face=(\w+) on=(\S+)`)

// runner is a daemon.
type runner interface {
	Adopt(cfg *config.Config) error
	Shutdown(ctx context.Context) error
}

// Run has a daemon run by a configuration until the test ends.
func Run(t *testing.T, d runner, cfg *config.Config) {
	t.Helper()
	if err := d.Adopt(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = d.Shutdown(ctx) // Postfix may hold its connections longer than we wait
	})
}
