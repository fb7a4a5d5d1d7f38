package main

import (
	"context"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// parse reads a configuration. Memory is kept only in a file that it names: what a
// daemon of this machine keeps is not the tests'.
func parse(t *testing.T, text string) *config.Config {
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

// event is one decision.
type event struct {
	request policy.Request
	finding policy.Finding
	err     error
}

// recorder has what a daemon decided and logged.
type recorder struct {
	mu     sync.Mutex
	events []event
	log    strings.Builder
}

// Write takes a line of the log.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// logged tells whether the log has a text.
func (r *recorder) logged(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), text)
}

// text returns the log so far.
func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// count returns how often the log has a text.
func (r *recorder) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

// observe takes what became of a request.
func (r *recorder) observe(q policy.Request, f policy.Finding, err error, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event{q, f, err})
}

// all returns what was decided so far.
func (r *recorder) all() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]event(nil), r.events...)
}

// testWriter puts the daemon's log into the test's.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // after the test its log is closed
		w.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

// listens waits until the log says where a face listens, at an address that begins so.
func (r *recorder) listens(t *testing.T, face, begin string) (address string) {
	t.Helper()
	if !realhost.Eventually(func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range listening.FindAllStringSubmatch(r.log.String(), -1) {
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

// listening finds in the log where a face listens.
var listening = regexp.MustCompile(`listening face=(\w+) on=(\S+)`)

// runner is a daemon.
type runner interface {
	adopt(cfg *config.Config) error
	shutdown(ctx context.Context) error
}

// runs has a daemon run by a configuration until the test ends.
func runs(t *testing.T, d runner, cfg *config.Config) {
	t.Helper()
	if err := d.adopt(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = d.shutdown(ctx) // Postfix may hold its connections longer than we wait
	})
}
