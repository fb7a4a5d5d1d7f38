package shared

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
)

// slowed returns the address of a way to a server on which what goes either way takes so long.
func slowed(t *testing.T, to string, late time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = l.Close() })
	carry := func(from, to net.Conn) {
		defer func() { _ = to.Close() }()
		for buf := make([]byte, 64<<10); ; {
			n, err := from.Read(buf)
			time.Sleep(late)
			if _, failed := to.Write(buf[:n]); err != nil || failed != nil {
				_, _ = io.Copy(io.Discard, from)
				return
			}
		}
	}
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				_ = near.Close()
				continue
			}
			running.Go(func() { carry(near, far) })
			running.Go(func() { carry(far, near) })
		}
	})
	return l.Addr().String()
}

// A server that look-ups do not wait for is told all that becomes of a front end, and what it
// says is heard: a busy machine, too, has its flushes reach the others within a second.
func TestServerThatIsTooSlowForLookUpsIsSharedByThoseWhoHaveTime(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, _ := redisAt(t, kind, "")
		one, two := join(t, serverOf(t, "redis://"+slowed(t, r.Addr(), 20*time.Millisecond))), join(t, at)
		if !realhost.Eventually(func() bool { one.consults(t, "nobody@example.com"); return one.link.State().Why != nil }) {
			t.Fatal("a server that answers after 40 ms is there for look-ups")
		}
		one.learns(t, "anna@example.com", "mail1")
		two.finds(t, "anna@example.com", "mail1")
		two.learns(t, "bert@example.com", "mail1")
		one.learns(t, "bert@example.com", "mail1")
		for name, purge := range map[string][2]*frontEnd{"anna": {one, two}, "bert": {two, one}} {
			from, other := purge[0], purge[1]
			p := cache.Purge{Name: cache.Name{Local: name, Domain: "example.com"}}
			from.Purge(p)
			ctx, cancel := context.WithTimeout(t.Context(), waitFor)
			err := from.link.Purge(ctx, p)
			cancel()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			other.forgets(t, name+"@example.com")
		}
		if one.link.State().Why == nil {
			t.Error("it has become faster: that is no test")
		}
	})
}
