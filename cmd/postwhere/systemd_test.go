package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// notifySocket is what systemd reads the daemon's messages from.
type notifySocket struct {
	conn *net.UnixConn
	path string
}

func listenForNotes(t *testing.T) *notifySocket {
	t.Helper()
	dir, err := os.MkdirTemp("", "postwhere") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &notifySocket{conn, path}
}

// next returns the next message, "" if none comes in a while.
func (n *notifySocket) next(t *testing.T, patience time.Duration) string {
	t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(patience))
	message := make([]byte, 4096)
	size, err := n.conn.Read(message)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(message[:size])
}

// wants waits for a message, and passes over those of the watchdog.
func (n *notifySocket) wants(t *testing.T, want string) {
	t.Helper()
	for {
		got := n.next(t, time.Minute)
		if got == "WATCHDOG=1" {
			continue
		}
		if !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Fatalf("systemd is told %q, want %s", got, want)
		}
		return
	}
}

// supervised runs the program as systemd would, with a socket that it has handed over.
func supervised(t *testing.T, n *notifySocket, dir, name string, socket *os.File) *exec.Cmd {
	t.Helper()
	// The shell's process becomes the program's.
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ WATCHDOG_PID=$$ exec postwhere serve -c "$1"`, "sh", dir+"/postwhere.toml")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10", "NOTIFY_SOCKET="+n.path, "WATCHDOG_USEC=300000",
		"LISTEN_FDS=1", "LISTEN_FDNAMES="+name)
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stderr = testWriter{t}
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
	mail1 := startOddHost(t, having("anna@example.com"))
	n := listenForNotes(t)
	dir := filepath.Dir(n.path)
	socket, at := handedOver(t, "policy", "tcp", "127.0.0.1:0")
	defer socket.Close()
	write(t, dir+"/postwhere.toml", listenText(mail1, `policy = ["inet:`+at+`"]`)+"[cache]\nfile = \"\"\n")
	cmd := supervised(t, n, dir, "policy", socket)
	n.wants(t, "READY=1\nSTATUS=Looking after 1 domain")
	if got := n.next(t, time.Minute); got != "WATCHDOG=1" {
		t.Errorf("the watchdog is told %q", got)
	}
	hangUp := func(want string) {
		t.Helper()
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		n.wants(t, `RELOADING=1\nMONOTONIC_USEC=\d+`)
		n.wants(t, want)
	}
	hangUp("READY=1\nSTATUS=Looking after 1 domain")
	write(t, dir+"/postwhere.toml", "nonsense")
	hangUp("READY=1\nSTATUS=Reload failed, everything is as it was: .*postwhere.toml:1:.*")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n.wants(t, "STOPPING=1\nSTATUS=Draining")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// Who connects while no daemon runs is answered by the next one.
func TestRestartRefusesNobodyWhoseSocketSystemdHolds(t *testing.T) {
	mail1 := startOddHost(t, having("anna@example.com"))
	n := listenForNotes(t)
	dir := filepath.Dir(n.path)
	socket, _ := handedOver(t, "policy", "unix", dir+"/policy")
	defer socket.Close()
	write(t, dir+"/postwhere.toml", listenText(mail1, `policy = ["unix:`+dir+`/policy"]`)+"[cache]\nfile = \"\"\n")
	for range 3 {
		conn := dialPatiently(t, "unix", dir+"/policy") // nobody runs yet, or any more
		if _, err := io.WriteString(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=anna@example.com\n\n"); err != nil {
			t.Fatal(err)
		}
		cmd := supervised(t, n, dir, "policy", socket)
		if action, err := readAction(bufio.NewReader(conn)); err != nil || action != "action=DUNNO" {
			t.Errorf("told %q, %v", action, err)
		}
		n.wants(t, "READY=1\nSTATUS=.*")
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		n.wants(t, "STOPPING=1\nSTATUS=Draining")
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

func TestWatchdogIsToldNothingWhileTheDaemonHangs(t *testing.T) {
	n := listenForNotes(t)
	t.Setenv("NOTIFY_SOCKET", n.path)
	for name, tt := range map[string]struct {
		works func(context.Context) error
		pings int
	}{
		"works":   {func(context.Context) error { return nil }, 7}, // at once, and 6 times in a minute
		"faulty":  {func(context.Context) error { return errors.New("broken") }, 0},
		"hanging": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
				defer cancel()
				manager{newMaillog(io.Discard).program()}.watchdog(ctx, 30*time.Second, tt.works)
			})
			pings := 0
			for n.next(t, 10*time.Millisecond) == "WATCHDOG=1" {
				pings++
			}
			if pings != tt.pings {
				t.Errorf("%d pings, want %d", pings, tt.pings)
			}
		})
	}
}

func TestDaemonDoesNotWorkWhileItsLocksAreHeld(t *testing.T) {
	d, r := startDaemon(t, siteText(startOddHost(t, having("anna@example.com"))))
	if err := d.works(t.Context()); err != nil {
		t.Error(err)
	}
	d.mu.Lock()
	works := make(chan error, 1)
	go func() { works <- d.works(t.Context()) }()
	select {
	case err := <-works:
		t.Errorf("it says %v, though nobody can be answered", err)
	case <-time.After(50 * time.Millisecond):
	}
	d.mu.Unlock()
	if err := <-works; err != nil {
		t.Error(err)
	}
	if r.logged("watchdog@") || strings.Contains(selfQuestion, "example") {
		t.Error("the daemon's own question is in the log")
	}
}
