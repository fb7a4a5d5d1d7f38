// Package servertest helps the tests of the faces: it runs their exchanges, with
// and without a network, asks them as Postfix does, and measures them.
package servertest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postwhere/policy/server"
)

// patience is how long a test waits for what takes no time unless it is broken.
const patience = 30 * time.Second

// Talk runs exchange over what a client sends on one connection, and returns
// what the client reads, and the error that the connection was closed for; nil
// if the client closed it between requests.
func Talk(exchange server.Exchange, sent string) (read string, err error) {
	var out bytes.Buffer
	r, w := bufio.NewReader(strings.NewReader(sent)), bufio.NewWriter(&out)
	for {
		if _, err := r.Peek(1); err != nil {
			return out.String(), nil //nolint:nilerr // all was sent
		}
		if err := exchange(context.Background(), r, w); err != nil {
			return out.String(), err
		}
		if err := w.Flush(); err != nil {
			return out.String(), err
		}
	}
}

// Start serves exchange on a listener of its own until the test ends: "tcp" on
// the loopback, or "unix". It returns the listener's address.
func Start(tb testing.TB, network string, exchange server.Exchange) net.Addr {
	tb.Helper()
	s := server.New("test", exchange, server.Options{Log: slog.New(slog.DiscardHandler)})
	l := listen(tb, network)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			tb.Error("shutdown:", err)
		}
		if err := <-served; err != nil {
			tb.Error("serve:", err)
		}
	})
	return l.Addr()
}

func listen(tb testing.TB, network string) net.Listener {
	tb.Helper()
	addr := "127.0.0.1:0"
	if network == "unix" {
		addr = filepath.Join(tb.TempDir(), "s")
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// Dial connects to a server. The connection is closed when the test ends, and
// hangs no test.
func Dial(tb testing.TB, addr net.Addr) net.Conn {
	tb.Helper()
	c, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		tb.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	tb.Cleanup(func() { c.Close() })
	return c
}

// Postmap asks a table with postmap(1), which has to be there: with the code that
// Postfix's daemons ask it with. Exit status 1 is not found, or a failure, which
// is then in the warnings.
func Postmap(t *testing.T, key, table string) (value, warnings string, status int) {
	t.Helper()
	etc := postmapConfig(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "postmap", "-c", etc, "-q", key, table)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return strings.TrimSuffix(stdout.String(), "\n"), stderr.String(), cmd.ProcessState.ExitCode()
}

// postmapConfig returns a directory with a configuration: this machine's own is
// of no concern. The file is made to look old: Postfix does not trust one that
// could be being written, and waits two seconds (src/util/dict.c).
func postmapConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.cf")
	long := time.Now().Add(-time.Hour)
	err := errors.Join(
		os.WriteFile(file, []byte("compatibility_level = 3.6\nmyhostname = postmap.test\n"), 0o600),
		os.Chtimes(file, long, long),
	)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Bench measures one exchange over a kept connection, and what a server costs
// that echoes octets of the same number and knows nothing: the ratio is reported
// as x/echo. The two take turns, so that what else the machine does concerns
// both.
func Bench(b *testing.B, network string, exchange server.Exchange, request, reply string) {
	face := Dial(b, Start(b, network, exchange))
	echo := Dial(b, startEcho(b, network, len(request)))
	face.SetDeadline(time.Time{})
	echo.SetDeadline(time.Time{})
	buf := make([]byte, max(len(request), len(reply)))
	ask := func(c net.Conn, size int) time.Duration {
		start := time.Now()
		if _, err := io.WriteString(c, request); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf[:size]); err != nil {
			b.Fatal(err)
		}
		return time.Since(start)
	}
	var ours, bare time.Duration
	for b.Loop() {
		bare += ask(echo, len(request))
		ours += ask(face, len(reply))
	}
	if got := string(buf[:len(reply)]); got != reply {
		b.Fatalf("reply %q, want %q", got, reply)
	}
	b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/op")
	b.ReportMetric(float64(ours)/float64(bare), "x/echo")
}

// startEcho echoes blocks of size octets to one client, until the test ends.
func startEcho(tb testing.TB, network string, size int) net.Addr {
	l := listen(tb, network)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buf := make([]byte, size)
		for {
			if _, err := io.ReadFull(c, buf); err != nil {
				return
			}
			if _, err := c.Write(buf); err != nil {
				return
			}
		}
	}()
	tb.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr()
}
