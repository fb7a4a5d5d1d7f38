package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postwhere/packaging/realhost"
)

// makePages has packaging/man.sh write the manual pages into a new folder.
func makePages(t *testing.T) (folder string) {
	t.Helper()
	realhost.NeedPrograms(t, "bash", "groff", "lexgrog", "man", "mandoc")
	for _, source := range []string{pageOfCommands, pageOfKeys, "../../packaging/man.sh"} {
		readDocument(t, source) // so that go test knows what the result hangs on
	}
	folder = filepath.Join(t.TempDir(), "new", "man")
	out, err := command(t, "../../packaging/man.sh", folder)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "go: downloading ") { // the first time on a machine
			t.Error(line)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// command runs a program and returns what it says, on both streams.
func command(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000", "LC_ALL=C.UTF-8", "MANWIDTH=80")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestManualPagesRenderWithoutWarnings(t *testing.T) {
	folder := makePages(t)
	for name, whatis := range map[string]string{
		"postwhere.8":      "postwhere - find the mail host of each recipient of a distributed domain, for Postfix",
		"postwhere.toml.5": "postwhere.toml - configuration of postwhere(8)",
	} {
		page := filepath.Join(folder, name)
		for _, check := range [][]string{
			{"man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page},
			{"groff", "-k", "-t", "-ww", "-man", "-z", page},
			{"mandoc", "-T", "lint", "-W", "warning", page},
		} {
			out, err := command(t, check[0], check[1:]...)
			if check[0] == "man" && strings.HasPrefix(out, "x T utf8\n") {
				out = "" // the page itself
			}
			if err != nil || out != "" {
				t.Errorf("%s: %s says: %v\n%s", name, check[0], err, out)
			}
		}
		if out, err := command(t, "lexgrog", page); err != nil || !strings.HasSuffix(out, `: "`+whatis+"\"\n") {
			t.Errorf("%s: lexgrog says: %v %s", name, err, out)
		}
	}
}

// Nothing of the source's mark-up is left, and all of it fits on a terminal.
func TestManualPagesCanBeRead(t *testing.T) {
	folder := makePages(t)
	for _, name := range []string{"postwhere.8", "postwhere.toml.5"} {
		text, err := command(t, "man", "-E", "UTF-8", "-l", filepath.Join(folder, name))
		if err != nil || !strings.Contains(text, "2023-11-14") {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\n"); utf8.RuneCountInString(line) > 80 || strings.ContainsAny(line, "*`⟨\\") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func TestManualPagesAreTheSameEachTime(t *testing.T) {
	once, again := makePages(t), makePages(t)
	pages, err := os.ReadDir(once)
	if err != nil || len(pages) != 2 {
		t.Fatalf("%v, %v", pages, err)
	}
	for _, page := range pages {
		one, err := os.ReadFile(filepath.Join(once, page.Name()))
		if err != nil {
			t.Fatal(err)
		}
		other, err := os.ReadFile(filepath.Join(again, page.Name()))
		if err != nil || !bytes.Equal(one, other) {
			t.Errorf("%s differs, %v", page.Name(), err)
		}
	}
}
