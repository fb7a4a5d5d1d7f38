package realhost

import (
	"os/exec"
	"syscall"
	"testing"
)

// guardScript waits for the test process to end, however it ends, then stops
// the server. The directory is its first argument, the stop command the rest.
// Processes that are still ending may make new files: hence the second try.
const guardScript = `read -r _; dir=$1; shift; "$@"; rm -rf "$dir" || { sleep 1; rm -rf "$dir"; }`

// guard sees to it that the server goes if the test process is killed or runs
// into its time-out, when no cleanup runs. It has to be called after the
// cleanup that stops the server is registered, before the server starts.
func (s *Server) guard(t testing.TB) {
	t.Helper()
	args := append([]string{"-c", guardScript, "guard", s.dir}, s.stopCommand...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Dir = "/"
	// A session of its own: Ctrl-C and the like go to the group of the tests.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// The pipe closes when this process ends. Nothing is ever written to it.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.dismiss = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // says that it was killed
		_ = stdin.Close()
	}
}
