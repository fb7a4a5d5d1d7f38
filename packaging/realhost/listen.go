package realhost

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// pickAddr fills in what is not given of a listen address: the port if it is 0,
// host and port if addr is empty.
//
// The host it picks is a loopback address that nobody else has. On 127.0.0.1 a
// free port would not stay free: the kernel gives it to any outgoing connection
// while the server is not yet up or is stopped, or to another test.
func pickAddr(t testing.TB, addr string) string {
	t.Helper()
	if addr == "" {
		addr = fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatalf("realhost: %v", err)
	}
	if port != "0" {
		return addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("realhost: %v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// greetingTime is how long one connection is given. It is not all the time
// there is: a service that died leaves its connections waiting.
const greetingTime = 2 * time.Second

// waitGreeting waits until the server at addr is ready to serve. before is the
// length that its log had before it was started.
func (s *Server) waitGreeting(t testing.TB, addr string, before int) {
	t.Helper()
	var last error
	var why string
	poll(func() bool {
		last = s.answers(addr)
		why = fatal(s.Log()[before:])
		if why == "" && s.ended() {
			why = "the server has ended"
		}
		return last == nil || why != ""
	})
	if last != nil {
		t.Fatalf("realhost: no greeting from %s: %v; %s\n%s", addr, last, why, s.Log())
	}
}

// fatal returns the line of a log that says why to wait on is in vain, or "".
// Postfix tries a service that died again after a minute only.
func fatal(log string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, ": fatal: ") || strings.Contains(line, ": panic: ") {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

// greeting is nil if an SMTP server at addr greets with 220. It leaves with
// QUIT, so that the log does not show a lost connection.
func greeting(addr string) error {
	conn, err := net.DialTimeout("tcp", addr, greetingTime)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(greetingTime)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "220") {
		return fmt.Errorf("greeted with %q", line)
	}
	if _, err := fmt.Fprint(conn, "QUIT\r\n"); err != nil {
		return err
	}
	// Exim waits 0.2 s for this before it replies to QUIT.
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	for err == nil {
		_, err = r.ReadString('\n')
	}
	return nil
}

// greetingScript is [greeting] by bash, of a host and a port.
const greetingScript = `exec 3<>"/dev/tcp/$1/$2" && printf 'QUIT\r\n' >&3 && IFS= read -r line <&3 && [[ $line == 220* ]] && cat <&3`

// greetingOn is [greeting] on another network, see [PostfixConfig].
func greetingOn(network []string, addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), greetingTime)
	defer cancel()
	argv := append(slices.Clone(network), "bash", "-c", greetingScript, "greeting", host, port)
	if out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
