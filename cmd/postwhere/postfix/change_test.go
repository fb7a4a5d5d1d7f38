package postfix

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// instance returns a configuration directory, and a change of it that is made.
func instance(t *testing.T) (dir string, c *Change) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"main.cf": "a = 1\n", "master.cf": "smtp inet n - n - - smtpd\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := os.WriteFile(filepath.Join(c.Dir(), "main.cf"), []byte("a = 1\nb = 2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, c
}

func TestDiffOfAChange(t *testing.T) {
	t.Parallel()
	dir, c := instance(t)
	got, err := c.Diff()
	want := strings.ReplaceAll("--- DIR/main.cf\n+++ DIR/main.cf\n@@ -1,1 +1,2 @@\n a = 1\n+b = 2\n", "DIR", dir)
	if err != nil || got != want {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}

// What somebody else changes between the look at it and the yes is not lost.
func TestCommitOfFilesThatWereChangedMeanwhile(t *testing.T) {
	t.Parallel()
	dir, c := instance(t)
	if err := os.WriteFile(filepath.Join(dir, "master.cf"), []byte("other inet n - n - - smtpd\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Commit(t.Context(), true); err == nil || !strings.Contains(err.Error(), "master.cf was changed by somebody else meanwhile") {
		t.Errorf("got %v", err)
	}
	if text, _ := readFile(filepath.Join(dir, "main.cf")); text != "a = 1\n" {
		t.Errorf("it was written: %q", text)
	}
}

func TestReplaceKeepsModeAndLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at, link := filepath.Join(dir, "real"), filepath.Join(dir, "main.cf")
	if err := os.WriteFile(at, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", link); err != nil {
		t.Fatal(err)
	}
	if err := replace(link, "new"); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(link)
	if err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("the link: %v, %v", info, err)
	}
	info, err = os.Stat(at)
	if text, _ := readFile(at); err != nil || info.Mode() != 0o640 || text != "new" {
		t.Errorf("the file: %v, %v, %q", info, err, text)
	}
}

// A record is for its owner alone, and goes without a trace.
func TestRecord(t *testing.T) {
	t.Parallel()
	conf := t.TempDir()
	old := record{before: map[string]string{"main.cf": "0"}, after: map[string]string{"main.cf": "1"}}
	last := record{before: map[string]string{"main.cf": "1"}, after: map[string]string{"main.cf": "2", "more": "x"}}
	for _, r := range []*record{&old, &last} {
		if err := r.write(conf); err != nil {
			t.Fatal(err)
		}
	}
	// What somebody else has put there is none.
	if err := os.Mkdir(filepath.Join(conf, recordName, "zzz"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := readRecords(conf)
	if err != nil || len(got) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	for i, want := range []record{old, last} {
		if !maps.Equal(got[i].before, want.before) || !maps.Equal(got[i].after, want.after) {
			t.Errorf("got %+v, want %+v", got[i], want)
		}
	}
	err = filepath.Walk(filepath.Join(conf, recordName), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, r := range []record{got[1], old, {}} {
		if err := r.forget(); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(filepath.Join(conf, recordName, "zzz")); err != nil {
		t.Error(err)
	}
	if err := (record{dir: old.dir}).forget(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(conf); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	if got, err := readRecords(conf); err != nil || len(got) > 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
