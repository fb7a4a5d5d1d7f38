package realhost

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// silence is how long a connection is waited for to see that none is granted.
const silence = 200 * time.Millisecond

// Silent returns the address of a host that answers nothing, not even that nobody
// listens, until the test ends: connecting to it takes as long as one will wait. It
// is a listener whose queue is full, so the kernel drops what else comes.
func Silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", pickAddr(t, ""))
	if err != nil {
		t.Fatalf("realhost: %v", err)
	}
	t.Cleanup(func() { _ = l.Close() })
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatalf("realhost: %v", err)
	}
	var shortened error
	if err := raw.Control(func(fd uintptr) { shortened = syscall.Listen(int(fd), 0) }); err != nil || shortened != nil {
		t.Fatalf("realhost: %v, %v", err, shortened)
	}
	for range 10 {
		conn, err := net.DialTimeout("tcp", l.Addr().String(), silence)
		if err != nil {
			if !os.IsTimeout(err) {
				t.Fatalf("realhost: %v", err)
			}
			return l.Addr().String()
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("this kernel grants connections that a full queue has no room for")
	return ""
}
