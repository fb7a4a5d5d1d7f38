package shared

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/cache"
	"postwhere/packaging/realhost"
)

// hugeEntry is a script by which somebody adds an entry of so many KB.
var hugeEntry = redis.NewScript(`
redis.call('XADD', KEYS[1], '*', 'v', '1', 'by', 'x', 'kind', 'address', 'what', string.rep(string.rep('x', 1024), ARGV[1]))
collectgarbage()
return 1
`)

// Huge entries in the streams, one and many, are not fetched. Among the purges each is
// one of all, what comes behind them arrives, and no look-up waits for it.
//
// It does not run beside others, whom it would take the memory's bandwidth. How long a purge
// behind takes is for the log: the server copies an entry before anybody can know its size.
func TestHugeEntriesOfTheStreams(t *testing.T) { //nolint:paralleltest // see above
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		for i, entries := range []struct {
			stream  string
			n, size int
		}{{"postwhere:purges", 3, 8 << 20}, {"postwhere:denied", 3, 8 << 20}, {"postwhere:purges", 1, 64 << 20}} {
			t.Run(fmt.Sprintf("%d of %d MB in %s", entries.n, entries.size>>20, entries.stream), func(t *testing.T) {
				stream, n, size := entries.stream, entries.n, entries.size
				one.isUp(t)
				two.isUp(t)
				two.learns(t, "anna@example.com", "mail1")
				no := two.wasTold(t, "carl@example.com")
				sent := number(t, client, "Stats", "total_net_output_bytes")
				for range n {
					if err := hugeEntry.Run(t.Context(), client, []string{stream}, size>>10).Err(); err != nil {
						t.Fatal(err)
					}
				}
				longest := two.lookUps(t, 500)
				if longest > maxWait+slack {
					t.Errorf("a look-up waited for %v", longest)
				}
				if stream == "postwhere:purges" {
					two.forgets(t, "anna@example.com")
					two.refusesNot(t, "carl@example.com", no)
				}
				bert := fmt.Sprintf("bert%d@example.com", i)
				two.learns(t, bert, "mail1")
				one.isUp(t)
				begun := time.Now()
				one.flushes(t, cache.Purge{Name: nameOf(address(t, bert))})
				one.link.Deny(address(t, "dora@example.com"), time.Now())
				two.forgets(t, bert)
				took := time.Since(begun)
				one.told(t)
				if !realhost.Eventually(func() bool {
					two.mu.Lock()
					defer two.mu.Unlock()
					since, ok := two.doubted[nameOf(address(t, "dora@example.com"))]
					return ok && !since.Before(begun.Add(-slack))
				}) {
					t.Error("a denial behind is not heard")
				}
				sent = number(t, client, "Stats", "total_net_output_bytes") - sent
				t.Logf("the longest look-up took %v, the purge behind %v, %d KB were sent", longest, took, sent>>10)
				if sent > int64(size/4) {
					t.Errorf("%d octets were fetched", sent)
				}
				three := join(t, at) // to which the last entry is a huge one, perhaps
				three.isUp(t)
				three.link.Close()
			})
		}
	})
}

// lookUps has a front end look up strangers, with time between, and returns what the longest took.
func (f *frontEnd) lookUps(t testing.TB, n int) (longest time.Duration) {
	t.Helper()
	for i := range n {
		a, begun := address(t, fmt.Sprintf("nobody%d@example.com", i)), time.Now()
		f.link.Consult(context.Background(), a, nil)
		longest = max(longest, time.Since(begun))
		time.Sleep(time.Millisecond) // one who never rests has the processor taken away from him
	}
	return longest
}

// A stream to which somebody has added the highest number that there is takes no more: it
// begins anew.
func TestStreamThatIsExhausted(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		for i, id := range []string{"9999999999999-0", "18446744073709551615-18446744073709551615"} {
			for _, stream := range []string{"postwhere:purges", "postwhere:denied"} {
				if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: id, Values: []any{"x", "y"}}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			heardAll(t, client, one, two)
			mailbox := fmt.Sprintf("anna%d@example.com", i)
			two.learns(t, mailbox, "mail1")
			one.flushes(t, cache.Purge{Name: nameOf(address(t, mailbox))})
			two.forgets(t, mailbox)
			one.link.Deny(address(t, mailbox), time.Now())
			one.told(t)
		}
	})
}

// What is among the purges takes the server too long to read, though it answers look-ups: all
// counts as purged, and what comes behind is heard.
func TestPurgesThatCannotBeReadInTime(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, _ := redisAt(t, kind, "")
		one := join(t, at)
		at, slow := withoutReads(t, at)
		two := join(t, at)
		two.reads(t)
		two.learns(t, "anna@example.com", "mail1")
		two.told(t)
		no := two.wasTold(t, "bert@example.com")
		slow.Store(true)
		two.log.waits(t, 1, "cannot be read in time")
		slow.Store(false)
		two.forgets(t, "anna@example.com")
		two.refusesNot(t, "bert@example.com", no)
		two.isUp(t)
		two.learns(t, "carl@example.com", "mail1")
		one.flushes(t, cache.Purge{Domain: "example.com"})
		two.forgets(t, "carl@example.com")
	})
}

// withoutReads returns a way to a server that loses whatever reads the streams as long as slow
// is set.
func withoutReads(t testing.TB, at Server) (way Server, slow *atomic.Bool) {
	t.Helper()
	slow = new(atomic.Bool)
	return through(t, at, func(p []byte) []byte {
		isRead := bytes.Contains(p, []byte(readScript.Hash())) && bytes.Contains(p, fmt.Appendf(nil, "\r\n%d\r\n", batchSize))
		if isRead && slow.Load() {
			return nil
		}
		return p
	}, func(p []byte) []byte { return p }), slow
}

// through returns a way to a server on which what is said, and what is answered, may become
// something else.
func through(t testing.TB, at Server, said, answered func(p []byte) []byte) (way Server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	forward := at.Address
	var ways sync.WaitGroup
	t.Cleanup(ways.Wait) // for front ends that have closed, or the server has
	t.Cleanup(func() { _ = listener.Close() })
	pass := func(from, to net.Conn, as func(p []byte) []byte) {
		defer to.Close()
		for buf := make([]byte, maxRead); ; {
			n, err := from.Read(buf)
			if n > 0 {
				_, failed := to.Write(as(buf[:n]))
				err = errors.Join(err, failed)
			}
			if err != nil {
				return
			}
		}
	}
	ways.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", forward)
			if err != nil {
				_ = client.Close()
				continue
			}
			ways.Go(func() { pass(client, server, said) })
			ways.Go(func() { pass(server, client, answered) })
		}
	})
	at.Address = listener.Addr().String()
	return at
}
