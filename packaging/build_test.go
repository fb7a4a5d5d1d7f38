package packaging

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"postwhere/packaging/realhost"
)

// The files that git knows, copied elsewhere, give the same packages, whatever the
// umask, the time zone and the language of whoever has cloned them.
func TestSameInputGivesTheSameBytes(t *testing.T) {
	realhost.Need(t, "git", "tar")
	elsewhere := filepath.Join(t.TempDir(), "another name")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	copied := exec.Command("sh", "-c", `cd .. && git -c safe.directory='*' ls-files -z -co --exclude-standard | tar --null -T- -c | tar -x -C "$1"`, "sh", elsewhere)
	if said, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	output(t, "chmod", "-R", "go-rwx", elsewhere) // as a umask of 077 has it
	output(t, "chmod", "g+s", elsewhere+"/packaging")
	out := t.TempDir()
	if wrong := build(elsewhere+"/packaging/build.sh", out, "POSTWHERE_VERSION="+newVersion, "POSTWHERE_ARCHITECTURES="+runtime.GOARCH, "SOURCE_DATE_EPOCH="+testEpoch,
		"TZ=Pacific/Auckland", "LC_ALL=C.UTF-8", "LANGUAGE=de"); wrong != "" {
		t.Fatal(wrong)
	}
	for _, format := range []string{"deb", "rpm"} {
		one, err := os.ReadFile(built(t, newVersion, format))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(out, packageName(newVersion, format)))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, other) {
			t.Errorf("the %s is not the same", format)
		}
	}
}

// The program is static, and knows its version.
func TestProgramIsStaticAndKnowsItsVersion(t *testing.T) {
	realhost.Need(t, "dpkg-deb")
	dir := t.TempDir()
	output(t, "dpkg-deb", "-x", built(t, newVersion, "deb"), dir)
	program := dir + "/usr/sbin/postwhere"
	if got := output(t, program, "version"); !strings.HasPrefix(got, "postwhere "+newVersion+" go1.") {
		t.Errorf("it says %q", got)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it wants to be linked: %v", p.Type)
		}
	}
}

// What git says becomes a version that dpkg and rpm take, and sort as it was meant.
func TestVersionIsGits(t *testing.T) {
	realhost.Need(t, "git", "dpkg", "rpm")
	text, err := os.ReadFile("build.sh")
	if err != nil {
		t.Fatal(err)
	}
	// The script as far as it makes the version, in a repository with one commit more
	// each time.
	head, _, found := strings.Cut(string(text), "\nmain() {")
	if !found {
		t.Fatal("build.sh has no main")
	}
	dir := t.TempDir()
	in := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
			"GIT_AUTHOR_DATE=1790000000 +0000", "GIT_COMMITTER_DATE=1790000000 +0000", "GIT_CONFIG_GLOBAL=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if err := os.Mkdir(dir+"/packaging", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/packaging/version.sh", []byte(head+"\necho \"$VERSION\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in("git", "init", "-q")
	commit := func() string {
		t.Helper()
		in("git", "add", "-A")
		in("git", "commit", "-q", "--allow-empty", "-m", "one more")
		return in("bash", "packaging/version.sh", dir+"/out")
	}
	versions := []string{commit(), commit()}
	in("git", "tag", "v0.9.0-rc1")
	versions = append(versions, in("bash", "packaging/version.sh", dir+"/out"), commit())
	in("git", "tag", "v0.9.0")
	versions = append(versions, in("bash", "packaging/version.sh", dir+"/out"), commit(), commit())
	if err := os.WriteFile(dir+"/packaging/version.sh", []byte(head+"\n\necho \"$VERSION\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	versions = append(versions, in("bash", "packaging/version.sh", dir+"/out"))
	for i, want := range []string{
		`0\.0\.0~git20260921\.1\.[0-9a-f]{12}`, `0\.0\.0~git20260921\.2\.[0-9a-f]{12}`,
		`0\.9\.0~rc1`, `0\.9\.0~rc1\+git20260921\.1\.[0-9a-f]{12}`,
		`0\.9\.0`, `0\.9\.0\+git20260921\.1\.[0-9a-f]{12}`, `0\.9\.0\+git20260921\.2\.[0-9a-f]{12}`,
		`0\.9\.0\+git20260921\.2\.[0-9a-f]{12}\.dirty`,
	} {
		if !regexp.MustCompile("^" + want + "$").MatchString(versions[i]) {
			t.Errorf("got %s, want %s", versions[i], want)
		}
		if i == 0 {
			continue
		}
		output(t, "dpkg", "--compare-versions", versions[i-1], "lt", versions[i])
		if got := output(t, "rpm", "--eval", `%{lua: print(rpm.vercmp("`+versions[i-1]+`", "`+versions[i]+`"))}`); strings.TrimSpace(got) != "-1" {
			t.Errorf("rpm takes %s not for older than %s: %s", versions[i-1], versions[i], got)
		}
	}
}
