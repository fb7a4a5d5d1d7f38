package realhost

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// RequireServers is the environment variable that turns the skips of [Need]
// into failures when it is 1, for runs in which nothing may be left out.
const RequireServers = "POSTWHERE_REQUIRE_SERVERS"

// places are looked through after PATH: Debian keeps the servers where an
// ordinary user's PATH does not lead.
var places = []string{"/usr/sbin", "/usr/lib/postfix/sbin", "/usr/libexec/postfix"}

// Need skips the test unless it runs on Linux, as root, with all of the
// programs installed. With [RequireServers] set to 1 the test fails instead.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		giveUp(t, "the real mail servers need Linux, this is %s", runtime.GOOS)
	}
	NeedPrograms(t, programs...)
	if os.Geteuid() != 0 {
		giveUp(t, "only root may start a mail server with users of its own; packaging/test.sh does it all as root")
	}
}

// NeedPrograms is Need for programs that anybody may run.
func NeedPrograms(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if lookPath(name) == "" {
			giveUp(t, "%s is not installed; packaging/test.sh installs it", name)
		}
	}
}

// giveUp ends the test as skipped or, by [RequireServers], as failed.
func giveUp(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(RequireServers) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// program returns the path of a program of which the test was told by [Need]
// that it is there.
func program(t testing.TB, name string) string {
	t.Helper()
	path := lookPath(name)
	if path == "" {
		t.Fatalf("realhost: %s is not installed", name)
	}
	return path
}

func lookPath(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range places {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}
