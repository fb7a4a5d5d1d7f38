package realhost

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNeedUnpacked(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("what is asked first is whether this is root")
	}
	dir := t.TempDir()
	t.Setenv(UnpackedServers, dir)
	if err := os.MkdirAll(filepath.Join(dir, "there"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		users []string
		want  string
	}{
		{"there", nil, ""},
		{"there", []string{"root"}, ""},
		{"there", []string{"root", "no-such-user"}, "user: unknown user no-such-user; packaging/test.sh adds it"},
		{"elsewhere", nil, filepath.Join(dir, "elsewhere") + " is not there; packaging/test.sh unpacks it"},
	} {
		for env, how := range map[string]string{"": "skip: ", "1": "fatal: "} {
			t.Setenv(RequireServers, env)
			want := tt.want
			if want != "" {
				want = how + want
			}
			got := ending(t, func(t testing.TB) {
				t.Helper()
				needUnpacked(t, tt.name, tt.users...)
			})
			if got != want {
				t.Errorf("%s with users %q: %q, want %q", tt.name, tt.users, got, want)
			}
		}
	}
}

func TestUnpackedCommand(t *testing.T) {
	t.Parallel()
	p := unpacked(t.TempDir())
	libraries := p.file("usr/lib/x86_64-linux-gnu")
	if err := os.MkdirAll(libraries, 0o755); err != nil {
		t.Fatal(err)
	}
	got := p.command("program", "-x")
	if want := []string{"env", "LD_LIBRARY_PATH=" + libraries, "program", "-x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A server sees what it is to see, and the test does not.
func TestBound(t *testing.T) {
	t.Parallel()
	needBind(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "hello"), "hello\n")
	s := &Server{dir: dir}
	out, err := s.command(bound([]bind{{dir, "/mnt"}}, []string{"cat", "/mnt/hello"})...).CombinedOutput()
	if err != nil || string(out) != "hello\n" {
		t.Errorf("%q, %v", out, err)
	}
	if _, err := os.Stat("/mnt/hello"); err == nil {
		t.Error("the test sees it too")
	}
	out, err = s.command(bound([]bind{{dir + "/none", "/mnt"}}, []string{"echo", "started"})...).CombinedOutput()
	if err == nil || strings.Contains(string(out), "started") {
		t.Errorf("without a directory to bind: %q, %v", out, err)
	}
}
