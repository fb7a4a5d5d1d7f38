package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
)

// Who reads the log, the journal say, may go: the daemon stays.
func TestDaemonOutlivesTheReaderOfItsLog(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	dir, err := os.MkdirTemp("", "postwhere")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	file := filepath.Join(dir, "postwhere.toml")
	text := fmt.Sprintf("[listen]\npolicy = [\"unix:%[1]s/policy\"]\nmilter = []\nsocketmap = []\ncontrol = []\n"+
		"[cache]\nfile = \"\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = %[2]q\n", dir, mail1.Address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("postwhere", "serve", "-c", file)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10") // else it takes a second to end
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill() //nolint:errcheck // if it is there yet
	for lines := bufio.NewScanner(log); ; {
		if !lines.Scan() {
			t.Fatal("the daemon did not start")
		}
		if strings.Contains(lines.Text(), "msg=started") {
			break
		}
	}
	_ = log.Close()
	for range 3 { // each is a line of the log
		conn := testbed.Dial(t, "unix", dir+"/policy")
		if _, err := io.WriteString(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=anna@example.com\n\n"); err != nil {
			t.Fatal(err)
		}
		if action, err := testbed.ReadAction(bufio.NewReader(conn)); err != nil || action != "action=DUNNO" {
			t.Errorf("told %q, %v", action, err)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the daemon does not end")
	}
}
