package realhost

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// verdict is a test that remembers how it was ended.
type verdict struct {
	testing.TB
	said string
}

func (v *verdict) Helper() {}

func (v *verdict) Skipf(format string, args ...any) {
	v.said = "skip: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (v *verdict) Fatalf(format string, args ...any) {
	v.said = "fatal: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// ending returns how f ends the test that it gets, "" if it does not. In all else
// that test is t.
func ending(t testing.TB, f func(testing.TB)) string {
	t.Helper()
	v := &verdict{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(v)
	}()
	<-done
	return v.said
}

func need(t *testing.T, programs ...string) string {
	t.Helper()
	return ending(t, func(t testing.TB) {
		t.Helper()
		Need(t, programs...)
	})
}

func TestNeed(t *testing.T) {
	missing := []string{"sh", "no-such-mail-server"}
	const sentence = "no-such-mail-server is not installed; packaging/test.sh installs it"
	t.Setenv(RequireServers, "")
	if got, want := need(t, missing...), "skip: "+sentence; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Setenv(RequireServers, "1")
	if got, want := need(t, missing...), "fatal: "+sentence; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := need(t, "sh")
	if root := os.Geteuid() == 0; root != (got == "") || !root && !strings.Contains(got, "root") {
		t.Errorf("with root %t: %q", root, got)
	}
}
