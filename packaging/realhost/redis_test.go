package realhost

import (
	"bufio"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRedis(t *testing.T) {
	t.Parallel()
	EachRedis(t, func(t *testing.T, kind RedisKind) {
		r := kind.Start(t, "")
		conn, err := net.Dial("unix", filepath.Join(r.Dir(), RedisSocket))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		ping := func(patience time.Duration) (string, error) {
			if _, err := conn.Write([]byte("PING\r\n")); err != nil {
				return "", err
			}
			if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
				return "", err
			}
			return in.ReadString('\n')
		}
		if reply, err := ping(patience); reply != "+PONG\r\n" {
			t.Fatalf("%q, %v", reply, err)
		}
		r.Pause(t)
		if reply, err := ping(50 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("it hangs, and says %q, %v", reply, err)
		}
		r.Resume(t)
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if reply, err := in.ReadString('\n'); reply != "+PONG\r\n" {
			t.Errorf("%q, %v", reply, err)
		}
		r.Stop(t)
		if err := pong(r.Addr()); err == nil {
			t.Error("it answers though it is stopped")
		}
		r.Start(t)
		if err := pong(r.Addr()); err != nil {
			t.Error(err)
		}
		r.Pause(t) // and ends with the test all the same
	})
}
