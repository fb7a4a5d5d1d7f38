package testbed

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

// NotifySocket is what systemd reads the daemon's messages from.
type NotifySocket struct {
	conn *net.UnixConn
	Path string // for $NOTIFY_SOCKET
}

// ListenForNotes makes one, in a folder of its own, until the test ends.
func ListenForNotes(t *testing.T) *NotifySocket {
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
	return &NotifySocket{conn, path}
}

// Next returns the next message, "" if none comes in a while.
func (n *NotifySocket) Next(t *testing.T, patience time.Duration) string {
	t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(patience))
	message := make([]byte, 4096)
	size, err := n.conn.Read(message)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	return string(message[:size])
}

// Wants waits for a message, and passes over those of the watchdog.
func (n *NotifySocket) Wants(t *testing.T, want string) {
	t.Helper()
	for {
		got := n.Next(t, time.Minute)
		if got == "WATCHDOG=1" {
			continue
		}
		if !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Fatalf("systemd is told %q, want %s", got, want)
		}
		return
	}
}

// HandOver listens at an address as systemd does, and returns what the daemon gets.
func HandOver(t *testing.T, name, network, address string) (file *os.File, at string) {
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
	return Rename(t, f, name), l.Addr().String()
}

// Rename returns a copy of a file that has the name of a socket unit.
func Rename(t *testing.T, f *os.File, name string) *os.File {
	t.Helper()
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}
