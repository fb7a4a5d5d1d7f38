// Package realhost starts real mail servers, and Redis and Valkey, for tests: each in a directory of
// its own below the temporary directory, on a loopback address of its own, with
// a configuration of its own. It ends them and removes them with the test, even
// if the test's process is killed. The system's own configuration, such as
// /etc/postfix, and a server that runs with it are left alone.
//
// It needs Linux, root and the servers' packages. Where one of them is missing
// the test is skipped, see [Need]. Those that Debian installs only in place of
// Postfix are unpacked instead, see [UnpackedServers].
//
// The servers talk to loopback only: they ask no DNS and their SMTP client is
// bound to 127.0.0.1, from where nothing else can be reached.
package realhost

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// patience is how long to wait for a server to do what it does within
	// milliseconds. It only passes when something is broken, so it is long
	// enough for a busy machine.
	patience = 30 * time.Second

	// pollEvery is the pause between two looks at a condition that cannot
	// be waited for otherwise: a file another program writes, a process of
	// which we are not the parent.
	pollEvery = 5 * time.Millisecond
)

// Server is one server in a directory of its own. Methods that take a
// [testing.TB] end that test if they fail, so they are for the test's own
// goroutine; the others may be called from any.
type Server struct {
	dir     string   // everything the server has, removed with the test
	etc     string   // its configuration, within dir
	addrs   []string // where it listens
	logFile string
	pidFile string
	env     []string // lets the server's other commands find its configuration

	prepare      func(testing.TB)        // what has to be done before each start
	answers      func(addr string) error // nil if it serves there; default: an SMTP greeting
	startCommand []string
	stopCommand  []string

	up      bool
	session int // of the server's processes, while up

	dismiss func() // ends the guard
}

// Addr returns where the server's first SMTP service listens, as host:port.
// It stays the same over [Server.Stop] and [Server.Start].
func (s *Server) Addr() string { return s.addrs[0] }

// Addrs returns where each SMTP service listens, in the order of the
// configuration.
func (s *Server) Addrs() []string { return slices.Clone(s.addrs) }

// Dir returns the directory that holds all of the server's files. The server's
// user may enter it, so it is a place for Unix sockets of the test, which
// t.TempDir is not. In main.cf it is "$config_directory/..".
func (s *Server) Dir() string { return s.dir }

// Start starts a server that was stopped and returns when each SMTP service
// greets.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.up {
		t.Fatalf("realhost: the server in %s runs already", s.dir)
	}
	adoptOrphans()
	s.prepare(t)
	s.up = true
	before := len(s.Log())
	if out, err := s.command(s.startCommand...).CombinedOutput(); err != nil {
		t.Fatalf("realhost: %s: %v\n%s%s", strings.Join(s.startCommand, " "), err, out, s.Log())
	}
	if s.session = readPID(s.pidFile); s.session == 0 {
		t.Fatalf("realhost: no process number in %s\n%s", s.pidFile, s.Log())
	}
	for _, addr := range s.addrs {
		s.waitGreeting(t, addr, before)
	}
}

// Stop ends the server at once, whatever it is doing: open sessions are cut,
// mail stays in the queue. It returns when the last process is gone and fails
// the test if one had to be killed. Stop does nothing if the server is stopped.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if !s.up {
		return
	}
	s.up = false
	out, err := s.command(s.stopCommand...).CombinedOutput()
	if err != nil {
		t.Errorf("realhost: %s: %v\n%s", strings.Join(s.stopCommand, " "), err, out)
	}
	left := s.waitGone()
	if len(left) == 0 {
		return
	}
	t.Errorf("realhost: still running after %q: %v", s.stopCommand, left)
	for _, p := range left {
		p.kill()
	}
	if left := s.waitGone(); len(left) > 0 {
		t.Errorf("realhost: cannot be killed: %v", left)
	}
}

// Run runs one of the server's own commands, such as
//
//	s.Run(t, "postqueue", "-f")
//
// so that it acts on this server, and returns its standard output and error.
// It fails the test if the command does.
func (s *Server) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := s.command(append([]string{program(t, name)}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("realhost: %s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *Server) command(argv ...string) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.dir // by which remaining knows what it leaves behind
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

// WriteFile writes a file of the given name next to the server's configuration,
// where [PostfixConfig.Files] are, in place of one that is there. When a server
// reads it again is the server's affair.
func (s *Server) WriteFile(t testing.TB, name, text string) {
	t.Helper()
	write(t, filepath.Join(s.etc, name), text)
}

// Log returns all that the server has logged since the test began.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile)
	if err != nil && !os.IsNotExist(err) {
		return err.Error()
	}
	return string(text)
}

// WaitLog waits until a line of the log matches the regular expression and
// returns the match and its groups, as [regexp.Regexp.FindStringSubmatch] does
// for the first such line. Lines from before the call count.
func (s *Server) WaitLog(t testing.TB, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var match []string
	found := poll(func() bool {
		for line := range strings.Lines(s.Log()) {
			if match = re.FindStringSubmatch(strings.TrimSuffix(line, "\n")); match != nil {
				return true
			}
		}
		return false
	})
	if !found {
		t.Fatalf("realhost: no line of the log matches %q:\n%s", pattern, s.Log())
	}
	return match
}

// Eventually asks cond until it is true, and reports whether it became true in
// reasonable time.
func Eventually(cond func() bool) bool { return poll(cond) }

// poll asks cond until it is true, and reports whether it became true within
// [patience].
func poll(cond func() bool) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(pollEvery) {
		if cond() {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// newServer makes the directory for a server and has the server stopped and
// the directory removed with the test.
func newServer(t testing.TB) *Server {
	t.Helper()
	// Not t.TempDir: its parents may be closed to the user the server's
	// processes run as, and its path too long for a Unix socket.
	dir, err := os.MkdirTemp("", "postwhere-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{dir: dir, answers: greeting, dismiss: func() {}}
	t.Cleanup(func() {
		s.Stop(t)
		s.dismiss()
		if t.Failed() {
			t.Logf("log of the server in %s:\n%s", s.dir, s.Log())
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for parent := dir; parent != "/"; parent = filepath.Dir(parent) {
		if info, err := os.Stat(parent); err != nil || info.Mode()&0o001 == 0 {
			t.Fatalf("realhost: the server's user cannot enter %s (%v): set TMPDIR to another place", parent, err)
		}
	}
	return s
}

// write writes a file that the server's user can read.
func write(t testing.TB, path, text string) {
	t.Helper()
	// By rename, so that no process ever reads half of it.
	tmp := fmt.Sprintf("%s.%d", path, time.Now().UnixNano())
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(tmp, 0o644); err != nil { // whatever the umask
		t.Fatal(err)
	}
	// Postfix reads a file again and again, with pauses of 0.3 s, until its
	// last change is a few seconds ago (dict_load_file_xt and
	// dict_thash_open in its source), so let it be so.
	past := time.Now().Add(-time.Minute)
	if err := os.Chtimes(tmp, past, past); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// mkdir makes a directory that belongs to the user and group.
func mkdir(t testing.TB, path string, uid, gid int, mode os.FileMode) {
	t.Helper()
	if err := os.Mkdir(path, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, gid); err != nil {
		t.Fatal(err)
	}
}
