package realhost

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childVar makes TestGuard the child process of itself.
const childVar = "POSTWHERE_TEST_GUARD"

// A test process that is killed leaves nothing behind.
func TestGuard(t *testing.T) {
	if os.Getenv(childVar) == "1" {
		h := MailHost(t, "one.test", "anna@one.test")
		fmt.Println("directory", h.Dir())
		select {}
	}
	t.Parallel()
	Need(t, "postfix")
	child := exec.Command(os.Args[0], "-test.run=^TestGuard$")
	child.Env = append(os.Environ(), childVar+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	adoptOrphans() // so that the child's servers can be laid to rest
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		dir, _ = strings.CutPrefix(lines.Text(), "directory ")
	}
	s := &Server{dir: dir, session: readPID(filepath.Join(dir, "queue", "pid", "master.pid"))}
	if s.session == 0 || len(s.remaining()) == 0 {
		t.Errorf("the child did not start a server: directory %q", dir)
	}
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // says that it was killed
	if left := s.waitGone(patience); len(left) > 0 {
		t.Errorf("processes of the child's server: %v", left)
	}
	if !poll(func() bool { _, err := os.Stat(dir); return os.IsNotExist(err) }) {
		t.Errorf("%s is still there", dir)
	}
}
