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

// RedisKind is a server program that speaks Redis's protocol.
type RedisKind struct {
	name    string
	command func(testing.TB) []string // skips the test if it is not there
}

// The programs that there are. Valkey is unpacked, for Debian 12 has it among its
// backports only, and there is no need to install it.
var (
	Redis = RedisKind{"Redis", func(t testing.TB) []string {
		t.Helper()
		Need(t, "redis-server")
		return []string{program(t, "redis-server")}
	}}
	Valkey = RedisKind{"Valkey", func(t testing.TB) []string {
		t.Helper()
		valkey := needUnpacked(t, "valkey-server")
		return valkey.command(valkey.file("usr/bin/valkey-server"))
	}}
)

// EachRedis runs a test with each of the programs, at once.
func EachRedis(t *testing.T, test func(t *testing.T, kind RedisKind)) {
	t.Helper()
	for _, kind := range []RedisKind{Redis, Valkey} {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}

// RedisServer is a server that runs with a configuration of its own, and keeps nothing
// over its end.
type RedisServer struct{ *Server }

// RedisSocket is the name in [Server.Dir] of the Unix socket at which a [RedisServer]
// listens as well.
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

// Start starts a server that ends with the test. It returns when it answers. conf is text
// that redis.conf ends with.
func (k RedisKind) Start(t testing.TB, conf string) *RedisServer {
	t.Helper()
	return k.start(t, conf, func(_ string, command []string) []string { return command })
}

// StartWithClock is Start of a server whose clock can be set, by [RedisServer.SetClock].
func (k RedisKind) StartWithClock(t testing.TB, conf string) *RedisServer {
	t.Helper()
	return k.start(t, conf, func(dir string, command []string) []string { return clockCommand(t, dir, command) })
}

func (k RedisKind) start(t testing.TB, conf string, change func(dir string, command []string) []string) *RedisServer {
	t.Helper()
	command := k.command(t)
	s := newServer(t)
	command = change(s.dir, command)
	s.addrs = []string{pickAddr(t, "")}
	s.etc, s.logFile = s.dir, filepath.Join(s.dir, "log")
	s.prepare = func(testing.TB) {}
	s.answers = pong
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	s.WriteFile(t, "redis.conf", fmt.Sprintf(redisConf, s.dir, host, port)+conf+"\n")
	s.inForeground(append(command, filepath.Join(s.dir, "redis.conf")))
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
