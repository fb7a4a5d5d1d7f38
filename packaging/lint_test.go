package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"postwhere/packaging/machine"
	"postwhere/packaging/realhost"
)

// findsNothing runs a linter, which says nothing but what quiet matches.
func findsNothing(t *testing.T, quiet, name string, args ...string) {
	t.Helper()
	realhost.Need(t, name)
	out, err := exec.Command(name, args...).CombinedOutput()
	ok := regexp.MustCompile(quiet)
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" && !ok.MatchString(line) {
			t.Errorf("%s: %s", name, line)
		}
	}
	if err != nil {
		t.Errorf("%s: %v\n%s", name, err, out)
	}
}

func TestLintianFindsNothing(t *testing.T) {
	findsNothing(t, `^running with root privileges`, "lintian", "--display-info", "--pedantic", "--fail-on=error,warning,info,pedantic", built(t, newVersion, "deb"))
}

// Rpmlint unpacks the rpm, and its files' paths begin with /: so it is not to be run
// on this machine.
func TestRpmlintFindsNothing(t *testing.T) {
	realhost.Need(t, "rpmlint")
	m := machine.New(t, machine.Nothing)
	m.Copy(t, built(t, newVersion, "rpm"), "/run/new.rpm")
	m.Copy(t, "rpmlint.toml", "/run/rpmlint.toml")
	said := m.Shell(t, "rpmlint --config /run/rpmlint.toml /run/new.rpm 2>&1 || true")
	if !strings.Contains(said, " 1 packages and 0 specfiles checked; 0 errors, 0 warnings, ") {
		t.Error(said)
	}
}

func TestScriptsAreFine(t *testing.T) {
	scripts, err := filepath.Glob("scripts/*")
	if err != nil || len(scripts) < 7 {
		t.Fatalf("%d scripts, %v", len(scripts), err)
	}
	findsNothing(t, `^$`, "shellcheck", append([]string{"--shell=sh", "--enable=check-extra-masked-returns"}, scripts...)...)
	findsNothing(t, `^$`, "shellcheck", "build.sh")
}

// The kernel of the tests has no AppArmor, mostly: only the profile's words are
// looked at.
func TestAppArmorUnderstandsTheProfile(t *testing.T) {
	findsNothing(t, `^Cache read/write disabled`, "apparmor_parser", "--skip-kernel-load", "--skip-cache", "debian/usr.sbin.postwhere")
}

func TestUnitIsHardened(t *testing.T) {
	realhost.Need(t, "systemd-analyze")
	unit, err := filepath.Abs("systemd/postwhere.service")
	if err != nil {
		t.Fatal(err)
	}
	out := output(t, "systemd-analyze", "security", "--offline=yes", "--no-pager", unit)
	m := regexp.MustCompile(`Overall exposure level for postwhere\.service: ([\d.]+)`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no level:\n%s", out)
	}
	if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > 1.2 {
		t.Errorf("exposure %s, %v; want 1.2 or less:\n%s", m[1], err, out)
	}
}

// A socket unit is where the configuration has it by default, and of that name.
func TestSocketUnitsAreTheDefaults(t *testing.T) {
	conf, err := os.ReadFile("postwhere.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, face := range []string{"policy", "milter", "socketmap"} {
		unit, err := os.ReadFile("systemd/postwhere-" + face + ".socket")
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^ListenStream=(.*)$`).FindStringSubmatch(string(unit))
		if len(m) < 2 || !regexp.MustCompile(`(?m)^#?`+face+` *= \["inet:`+regexp.QuoteMeta(m[1])+`"\]`).Match(conf) {
			t.Errorf("%s: not where postwhere.toml has it by default: %v", face, m)
		}
		if !strings.Contains(string(unit), "\nFileDescriptorName="+face+"\n") {
			t.Errorf("%s: not of that name", face)
		}
	}
}
