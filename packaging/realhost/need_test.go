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

func need(programs ...string) string {
	v := new(verdict)
	done := make(chan struct{})
	go func() {
		defer close(done)
		Need(v, programs...)
	}()
	<-done
	return v.said
}

func TestNeed(t *testing.T) {
	missing := []string{"sh", "no-such-mail-server"}
	const sentence = "no-such-mail-server is not installed; packaging/test.sh installs it"
	t.Setenv(RequireServers, "")
	if got, want := need(missing...), "skip: "+sentence; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	t.Setenv(RequireServers, "1")
	if got, want := need(missing...), "fatal: "+sentence; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := need("sh")
	if root := os.Geteuid() == 0; root != (got == "") || !root && !strings.Contains(got, "root") {
		t.Errorf("with root %t: %q", root, got)
	}
}
