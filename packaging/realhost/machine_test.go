package realhost

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// Nothing that is done on a machine of its own is seen by others.
func TestOwnMachine(t *testing.T) {
	t.Parallel()
	const file = "/etc/postwhere-own-machine"
	if !OwnMachine(t, "127.9.9.9 somewhere.test") {
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%s: %v", file, err)
		}
		return
	}
	if err := os.WriteFile(file, []byte("here"), 0o600); err != nil {
		t.Fatal(err)
	}
	if names, err := net.LookupHost("somewhere.test"); err != nil || len(names) != 1 || names[0] != "127.9.9.9" {
		t.Errorf("somewhere.test: %v, %v", names, err)
	}
	l, err := net.Listen("tcp", "0.0.0.0:25")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	if addrs, err := net.InterfaceAddrs(); err != nil || len(addrs) > 2 {
		t.Errorf("more than loopback: %v, %v", addrs, err)
	}
	// It would hold up the test: its output goes where that of the test goes.
	left := exec.Command("sleep", "1000")
	left.Stdout, left.Stderr = os.Stdout, os.Stderr
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
}
