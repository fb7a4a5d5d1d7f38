// Package packaging has the tests of the packages: what is in them, and what becomes
// of a machine on which they are installed, upgraded, removed and purged.
package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"postwhere/packaging/realhost"
)

// The versions that the tests build: one is upgraded to the other.
const (
	oldVersion = "0.0.0~test1"
	newVersion = "0.0.0~test2"
	testEpoch  = "1790000000"
)

// builds are the packages, each made once a run.
var builds struct {
	sync.Mutex
	dir    string
	failed map[string]string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
	}
	os.Exit(code)
}

// built returns this machine's package of a version: format is deb or rpm.
func built(t *testing.T, version, format string) string {
	t.Helper()
	realhost.Need(t, "git", "gzip")
	builds.Lock()
	defer builds.Unlock()
	if builds.dir == "" {
		dir, err := os.MkdirTemp("", "postwhere-packages-")
		if err != nil {
			t.Fatal(err)
		}
		builds.dir, builds.failed = dir, make(map[string]string)
	}
	file := filepath.Join(builds.dir, packageName(version, format))
	if _, err := os.Stat(file); err != nil && builds.failed[version] == "" {
		builds.failed[version] = build("./build.sh", builds.dir, "POSTWHERE_VERSION="+version, "POSTWHERE_ARCHITECTURES="+runtime.GOARCH, "SOURCE_DATE_EPOCH="+testEpoch)
	}
	if builds.failed[version] != "" {
		t.Fatal(builds.failed[version])
	}
	return file
}

func packageName(version, format string) string {
	return "postwhere_" + version + "_" + runtime.GOARCH + "." + format
}

// build runs build.sh, and returns what it complains of.
func build(script, out string, environ ...string) string {
	cmd := exec.Command(script, out)
	cmd.Env = append(os.Environ(), environ...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return script + ": " + err.Error() + "\n" + string(said)
	}
	return ""
}

// output runs a command and returns what it writes to its standard output.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var complaints strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, complaints.String())
	}
	return string(out)
}
