package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/testbed"
)

// configured returns a configuration file for the program: the site's, with the ports
// that its daemon has found.
func (s *site) configured(t *testing.T) string {
	t.Helper()
	text := s.text
	for _, face := range []string{"policy", "milter", "socketmap"} {
		at := regexp.MustCompile(face + ` *= \["inet:127\.0\.0\.1:0"\]`)
		text = at.ReplaceAllLiteralString(text, face+` = ["inet:`+s.daemon.AddressOf(face)+`"]`)
	}
	file := filepath.Join(t.TempDir(), "postwhere.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// postwhere runs the program for the front's Postfix, and wants it to end well and to
// say something.
func (s *site) postwhere(t *testing.T, want string, args ...string) {
	t.Helper()
	s.front.WriteFile(t, "main.cf", s.main(t))     // of a minute ago,
	s.front.WriteFile(t, "master.cf", s.master(t)) // or postconf waits
	cmd := exec.Command("postwhere", args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10", "MAIL_CONFIG="+s.front.Dir()+"/etc")
	out, err := cmd.CombinedOutput()
	if err != nil || !regexp.MustCompile(want).Match(out) {
		t.Fatalf("%q: %v, got\n%s\nwant %q", args, err, out, want)
	}
}

func (s *site) main(t *testing.T) string   { return s.file(t, "main.cf") }
func (s *site) master(t *testing.T) string { return s.file(t, "master.cf") }

func (s *site) file(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.front.Dir(), "etc", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A Postfix that runs is attached in each way after the other, takes mail by it, and
// is in the end as it was.
func TestPostfixIsAttachedOnRequest(t *testing.T) {
	t.Parallel()
	s := newUnattachedSite(t, "", "max_use=1")
	file := s.configured(t)
	main, master := s.main(t), s.master(t)
	for _, way := range []string{"--policy", "--milter", "--recipient-map", "--map-only"} {
		s.postwhere(t, `(?m)^Done, and Postfix was reloaded\.`, "-c", file, "postfix", "--apply", "--yes", way)
		s.arrives(t, "by "+way, "anna@example.com", "bert@example.com", "carla@example.com")
		testbed.DialSMTP(t, s.front.Addr()).Wants(t, "nobody@example.com", "550 5.1.1")
		s.postwhere(t, `^There is nothing to change: `, "-c", file, "postfix", "--apply", "--yes", way)
		s.postwhere(t, `(?m)^ok    postfix: transport_maps asks postwhere$`, "-c", file, "check")
	}
	s.postwhere(t, `(?m)^Done, and Postfix was reloaded\.$`, "-c", file, "postfix", "--undo", "--yes")
	if s.main(t) != main || s.master(t) != master {
		t.Errorf("not as it was:\n%s\n%s", s.main(t), s.master(t))
	}
	if _, err := os.Stat(filepath.Join(s.front.Dir(), "etc", "postwhere.undo")); !os.IsNotExist(err) {
		t.Errorf("a record is left: %v", err)
	}
	testbed.DialSMTP(t, s.front.Addr()).Wants(t, "anna@example.com", "5") // no relaying
	for line := range strings.Lines(s.front.Log()) {
		if strings.Contains(line, "warning:") || strings.Contains(line, "fatal:") {
			t.Error(line)
		}
	}
}
