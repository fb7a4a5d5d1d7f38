// Package machine gives a test a machine of its own, to install packages on: its
// files are those of this machine, copied when they are written to, its processes,
// its network and its systemd are its own. It goes with the test, even if the test's
// process is killed. This machine stays as it is.
//
// It needs Linux, root, overlayfs, and a second systemd where one is to run; a
// container often forbids that. Then the test is skipped, or fails as
// [realhost.RequireServers] has it.
package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postwhere/packaging/realhost"
)

// patience is how long to wait for what takes a second or two: it passes only when
// something is broken.
const patience = time.Minute

// First is what the machine's first process is.
type First string

const (
	// Systemd runs, as far as basic.target: no service of this machine starts, those
	// that a package installs do.
	Systemd First = "systemd"
	// Nothing runs, as in a container that is being made: packages may start nothing
	// (policy-rc.d), and there is no systemd to talk to.
	Nothing First = "nothing"
)

// Machine is a machine. Its methods end the test if they fail, so they are for the
// test's own goroutine.
type Machine struct {
	pid  string // of its first process, out here
	down func()
}

// New starts a machine.
func New(t testing.TB, first First) *Machine {
	t.Helper()
	realhost.Need(t, "unshare", "nsenter", "mount", "pivot_root", "ip", "systemctl")
	group := ownGroup(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", startScript, "machine", dir, string(first), group)
	var said strings.Builder
	cmd.Env = append(os.Environ(), "BOOT="+bootScript)
	cmd.Stderr = &said
	// It ends when this pipe closes, and so with this process.
	life, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	m := &Machine{down: func() {
		_ = life.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // says that it was killed
		cancel()
	}}
	t.Cleanup(m.down)
	parent, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("machine: %v", err)
	}
	if !realhost.Eventually(func() bool {
		return m.findFirst(strings.TrimSpace(parent)) && m.Try("test", "-e", "/run/machine") == nil
	}) {
		m.down()
		giveUp(t, "no machine of its own can be had here: %s", said.String())
	}
	if first == Systemd && !realhost.Eventually(func() bool { return m.Try("systemctl", "is-active", "--quiet", "basic.target") == nil }) {
		m.down()
		giveUp(t, "systemd does not run in a machine of its own here: %s", said.String())
	}
	return m
}

// findFirst finds the process whose parent that one is.
func (m *Machine) findFirst(parent string) bool {
	children, _ := os.ReadFile("/proc/" + parent + "/task/" + parent + "/children")
	m.pid = strings.TrimSpace(string(children))
	return m.pid != ""
}

// giveUp ends the test as [realhost.Need] does.
func giveUp(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv(realhost.RequireServers) == "1" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Path returns where a file of the machine, of an absolute path, is found out here.
func (m *Machine) Path(name string) string { return "/proc/" + m.pid + "/root" + name }

// Network is what is said out here before a command that is to run out here, but on
// the machine's network, of which loopback is all.
func (m *Machine) Network() []string { return []string{"nsenter", "--net=/proc/" + m.pid + "/ns/net"} }

// Copy copies a file of this machine into the other, so that it may be run.
func (m *Machine) Copy(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(to), text, 0o755); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
}

// Write writes a file, and the folder it is in; the owner and mode of one that is
// there stay.
func (m *Machine) Write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.Path(name)), 0o755); err != nil { //nolint:gosec // as folders are
		t.Fatal(err)
	}
	if err := os.WriteFile(m.Path(name), []byte(text), 0o644); err != nil { //nolint:gosec // as files are
		t.Fatal(err)
	}
}

// Run runs a command and returns what it writes, its complaints as well.
func (m *Machine) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := m.command(patience, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Shell is Run of a line for the shell, which is bash: it can connect.
func (m *Machine) Shell(t testing.TB, line string) string {
	t.Helper()
	return m.Run(t, "bash", "-c", line)
}

// Try runs a command. Its error has what the command wrote.
func (m *Machine) Try(name string, args ...string) error {
	out, err := m.command(patience, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// Start starts a command, and returns what ends it and returns what it wrote.
func (m *Machine) Start(t testing.TB, name string, args ...string) (end func() string) {
	t.Helper()
	cmd := m.command(10*time.Minute, name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	end = func() string {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGTERM) // which timeout(1) hands on to all
			_ = cmd.Wait()                          // says that it was ended
		}
		return out.String()
	}
	t.Cleanup(func() { end() })
	return end
}

// command is a command of the machine, with nothing to read: who asks questions, as
// dpkg does about changed files, gets no answer.
func (m *Machine) command(within time.Duration, name string, args ...string) *exec.Cmd {
	argv := append([]string{"--target", m.pid, "--all", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", name}, args...)
	argv = append([]string{"--kill-after=5", strconv.Itoa(int(within / time.Second)), "nsenter"}, argv...)
	cmd := exec.CommandContext(context.Background(), "timeout", argv...) // which bounds it
	cmd.WaitDelay = time.Second                                          // a child may hold what is written
	return cmd
}
