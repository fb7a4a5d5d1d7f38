package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
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

// handedOver listens at an address as systemd does, and returns what the daemon gets.
func handedOver(t *testing.T, name, network, address string) (file *os.File, at string) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	f, err := l.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return renamed(t, f, name), l.Addr().String()
}

// renamed returns a copy of a file that has the name of a socket unit.
func renamed(t *testing.T, f *os.File, name string) *os.File {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
