package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
)

// supervised runs the program as systemd would, with a socket that it has handed over.
func supervised(t *testing.T, n *testbed.NotifySocket, dir, name string, socket *os.File) *exec.Cmd {
	t.Helper()
	// The shell's process becomes the program's.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec postwhere serve -c "$1"`, "sh", dir+"/postwhere.toml")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10", "NOTIFY_SOCKET="+n.Path, "WATCHDOG_USEC=300000",
		"LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = testbed.Log(t)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSystemdIsToldHowTheDaemonFares(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	n := testbed.ListenForNotes(t)
	dir := filepath.Dir(n.Path)
	socket, at := testbed.HandOver(t, "policy", "tcp", "127.0.0.1:0")
	defer socket.Close()
	write(t, dir+"/postwhere.toml", testbed.ListenText(mail1, `policy = ["inet:`+at+`"]`)+"[cache]\nfile = \"\"\n")
	cmd := supervised(t, n, dir, "policy", socket)
	n.Wants(t, "READY=1\nSTATUS=Looking after 1 domain")
	if got := n.Next(t, time.Minute); got != "WATCHDOG=1" {
		t.Errorf("the watchdog is told %q", got)
	}
	hangUp := func(want string) {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		n.Wants(t, `RELOADING=1\nMONOTONIC_USEC=\d+`)
		n.Wants(t, want)
	}
	hangUp("READY=1\nSTATUS=Looking after 1 domain")
	write(t, dir+"/postwhere.toml", "nonsense")
	hangUp("READY=1\nSTATUS=Reload failed, everything is as it was: .*postwhere.toml:1:.*")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n.Wants(t, "STOPPING=1\nSTATUS=Draining")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Who connects while no daemon runs is answered by the next one.
func TestRestartRefusesNobodyWhoseSocketSystemdHolds(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	n := testbed.ListenForNotes(t)
	dir := filepath.Dir(n.Path)
	socket, _ := testbed.HandOver(t, "policy", "unix", dir+"/policy")
	defer socket.Close()
	write(t, dir+"/postwhere.toml", testbed.ListenText(mail1, `policy = ["unix:`+dir+`/policy"]`)+"[cache]\nfile = \"\"\n")
	for range 3 {
		conn := testbed.Dial(t, "unix", dir+"/policy") // nobody runs yet, or any more
		if _, err := io.WriteString(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=anna@example.com\n\n"); err != nil {
			t.Fatal(err)
		}
		cmd := supervised(t, n, dir, "policy", socket)
		if action, err := testbed.ReadAction(bufio.NewReader(conn)); err != nil || action != "action=DUNNO" {
			t.Errorf("told %q, %v", action, err)
		}
		n.Wants(t, "READY=1\nSTATUS=.*")
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		n.Wants(t, "STOPPING=1\nSTATUS=Draining")
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}
