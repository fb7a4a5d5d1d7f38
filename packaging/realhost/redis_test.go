package realhost

import (
	"bufio"
	"errors"
	"fmt"
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

func TestRedisWhoseClockIsSet(t *testing.T) {
	t.Parallel()
	EachRedis(t, func(t *testing.T, kind RedisKind) {
		r := kind.StartWithClock(t, "")
		conn, err := net.Dial("tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		for _, ahead := range []time.Duration{0, 3 * time.Hour, -48 * time.Hour} {
			r.SetClock(t, ahead)
			var n, length, seconds int64
			if _, err := fmt.Fprint(conn, "TIME\r\n"); err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fscanf(in, "*%d\r\n$%d\r\n%d\r\n", &n, &length, &seconds); err != nil {
				t.Fatal(err)
			}
			if off := time.Until(time.Unix(seconds, 0)) - ahead; off.Abs() > time.Minute {
				t.Errorf("%v ahead: off by %v", ahead, off)
			}
			for range 2 {
				if _, err := in.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
