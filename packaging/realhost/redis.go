package realhost

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// RedisServer is a Redis that runs with a configuration of its own, and keeps nothing
// over its end.
type RedisServer struct{ *Server }

// RedisSocket is the name in [Server.Dir] of the Unix socket at which [Redis] listens
// as well.
const RedisSocket = "redis"

// redisConf is redis.conf as a format with the directory, the host and the port of the
// address.
const redisConf = `bind %[2]s
port %[3]s
unixsocket %[1]s/` + RedisSocket + `
unixsocketperm 777
dir %[1]s
save ""
appendonly no
protected-mode no
`

// Redis starts a Redis server that ends with the test. It returns when it answers. conf
// is text that redis.conf ends with.
func Redis(t testing.TB, conf string) *RedisServer {
	t.Helper()
	Need(t, "redis-server")
	s := newServer(t)
	s.addrs = []string{pickAddr(t, "")}
	s.etc, s.logFile = s.dir, filepath.Join(s.dir, "log")
	s.prepare = func(testing.TB) {}
	s.answers = pong
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s.WriteFile(t, "redis.conf", fmt.Sprintf(redisConf, s.dir, host, port)+conf+"\n")
	s.inForeground([]string{program(t, "redis-server"), filepath.Join(s.dir, "redis.conf")})
	s.guard(t)
	s.Start(t)
	r := &RedisServer{s}
	t.Cleanup(func() { r.Resume(t) }) // before it is stopped
	return r
}

// pong is nil if a Redis server at addr answers to PING, if only to refuse it.
func pong(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, greetingTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(greetingTime)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "+PONG") && !strings.HasPrefix(line, "-NOAUTH") {
		err = fmt.Errorf("answered %q", line)
	}
	return err
}

// Pause has the server hang, as by SIGSTOP: connections can be made, and nothing is
// answered.
func (r *RedisServer) Pause(t testing.TB) {
	t.Helper()
	r.signal(t, syscall.SIGSTOP)
}

// Resume has it go on.
func (r *RedisServer) Resume(t testing.TB) {
	t.Helper()
	r.signal(t, syscall.SIGCONT)
}

func (r *RedisServer) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if !r.up {
		return
	}
	if err := syscall.Kill(-r.session, sig); err != nil {
		t.Errorf("realhost: %v to Redis: %v", sig, err)
	}
}
