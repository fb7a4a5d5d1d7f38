package shared

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"postwhere/packaging/realhost"
)

// allocated returns how many octets have been allocated so far.
func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Whatever a server says, in whatever pieces, the library neither panics nor swells.
func FuzzGuard(f *testing.F) {
	for i, not := range notAnswers {
		if len(not.text) < 1000 { // from longer ones nothing is learnt soon
			f.Add([]byte(not.text), uint16(1), uint8(i), uint16(i*i))
		}
	}
	for _, more := range []string{"|0\r\n", "|-1\r\n", "*1\r\n", "%1\r\n:1\r\n", "+", "(1", "*1000\r\n"} {
		for command := range 5 {
			f.Add([]byte(more), uint16(math.MaxUint16), uint8(command), uint16(4000))
		}
	}
	f.Fuzz(func(t *testing.T, said []byte, times uint16, command uint8, piece uint16) {
		if len(said) > 0 {
			said = bytes.Repeat(said, min(int(times), 1+maxReply/len(said)))
		}
		var serving sync.WaitGroup
		defer serving.Wait()
		opt := Server{}.options(patience, patience)
		opt.Dialer = guardedBy(func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			serving.Go(func() { _, _ = io.Copy(io.Discard, server) })
			serving.Go(func() {
				defer server.Close()
				if command%5 > 0 { // else it is the answer to HELLO
					_, _ = io.WriteString(server, "-ERR unknown command\r\n")
				}
				for piece := range slices.Chunk(said, 1+int(piece)) {
					if _, err := server.Write(piece); err != nil {
						return
					}
				}
			})
			return client, nil
		})
		client := redis.NewClient(opt)
		defer client.Close()
		ctx, before := t.Context(), allocated()
		switch command % 5 {
		case 0, 1:
			_, _ = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Time(ctx)
				pipe.GetRange(ctx, "key", 0, maxRecord)
				return nil
			})
		case 2:
			_, _ = readScript.Run(ctx, client, []string{"purges"}).Slice()
		case 3:
			_, _, _ = client.Scan(ctx, 0, "*", scanStep).Result()
		case 4:
			_, _ = client.Info(ctx).Result()
		}
		if n := allocated() - before; n > 32<<20+uint64(16*len(said)) {
			t.Errorf("%d octets were allocated", n)
		}
	})
}

// What is in the server's place answers in the midst of it with what the library would die of,
// or swell. It does not run beside others, whose memory would be counted.
func TestServerThatDeclaresMoreThanThereIs(t *testing.T) { //nolint:paralleltest // see above
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, _ := redisAt(t, kind, "")
		good := join(t, at)
		good.learns(t, "anna@example.com", "mail1")
		good.told(t)
		for _, said := range []string{
			"*9223372036854775807\r\n", "$9223372036854775807\r\n", "!9223372036854775807\r\n", "=9223372036854775807\r\n",
			"*40000000\r\n", "%40000000\r\n", "~40000000\r\n", ">40000000\r\n", "|40000000\r\n", "*2000000000\r\n", "*2\r\n*40000000\r\n",
		} {
			t.Run(said, func(t *testing.T) {
				var instead atomic.Pointer[string]
				f := join(t, through(t, at, func(p []byte) []byte { return p }, func(p []byte) []byte {
					if said := instead.Load(); said != nil {
						return []byte(*said)
					}
					return p
				}))
				f.finds(t, "anna@example.com", "mail1")
				before := allocated()
				instead.Store(&said)
				f.lookUps(t, 20)
				f.wantAlone(t)
				if !realhost.Eventually(func() bool { return errors.As(f.link.State().Why, new(rubbishError)) }) { // also to HELLO
					t.Errorf("State: %v", f.link.State().Why)
				}
				if longest := f.lookUps(t, 100); longest > maxWait+slack {
					t.Errorf("a look-up waited for %v", longest)
				}
				if n := allocated() - before; n > 256<<20 {
					t.Errorf("%d MB were allocated", n>>20)
				}
				instead.Store(nil)
				wantBack(t, f)
				f.finds(t, "anna@example.com", "mail1")
				f.link.Close()
			})
		}
	})
}

// A connection that the server has closed while nobody used it is not taken for a good one.
func TestConnectionThatIsClosedMeanwhileIsFoundOut(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, killer := redisAt(t, kind, "")
		client := redis.NewClient(at.options(patience, patience))
		defer client.Close()
		for range 20 {
			id, err := client.ClientID(t.Context()).Result()
			if err != nil {
				t.Fatal(err)
			}
			if err := killer.ClientKillByFilter(t.Context(), "ID", strconv.FormatInt(id, 10)).Err(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Over TLS it is what is said that is looked at.
func TestRubbishOverTLS(t *testing.T) {
	t.Parallel()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
	at := Server{Network: "tcp", Address: web.Listener.Addr().String(), TLS: "example.com", Authorities: string(authority)}
	if _, err := Check(t.Context(), at); !errors.As(err, new(rubbishError)) || !strings.Contains(err.Error(), "'H'") {
		t.Errorf("Check: %v", err)
	}
}
