package realhost

import (
	"net"
	"os"
	"testing"
)

func TestSilentGrantsNoConnection(t *testing.T) {
	addr := Silent(t)
	for range 3 {
		conn, err := net.DialTimeout("tcp", addr, silence)
		if err == nil {
			_ = conn.Close()
		}
		if !os.IsTimeout(err) {
			t.Errorf("%v, want a time-out", err)
		}
	}
}
