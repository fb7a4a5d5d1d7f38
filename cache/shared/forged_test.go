package shared

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// number returns a number among what a server says of itself.
func number(t testing.TB, client *redis.Client, section, name string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(client.InfoMap(t.Context(), section).Item(section, name), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What somebody has put under a name of ours is as large as he likes. It is not fetched,
// and holds up neither a look-up nor the server.
func TestHugeRecordIsNeitherFetchedNorWaitedFor(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		one.learns(t, "bert@example.com", "mail1")
		one.told(t)
		two.isUp(t)
		for _, start := range []string{"9", `1 1764000000123456 {"host":"mail9"`} {
			const size = 64 << 20
			if err := client.Set(t.Context(), "postwhere:address:anna@example.com", start+strings.Repeat("9", size), 0).Err(); err != nil {
				t.Fatal(err)
			}
			sent := number(t, client, "Stats", "total_net_output_bytes")
			for range 200 {
				begun := time.Now()
				if host := two.consults(t, "anna@example.com"); host != "" {
					t.Fatalf("at %s", host)
				}
				if took := time.Since(begun); took > maxWait+slack {
					t.Errorf("a look-up waited for %v", took)
				}
			}
			if sent = number(t, client, "Stats", "total_net_output_bytes") - sent; sent > 3<<19 {
				t.Errorf("%d octets were fetched", sent)
			}
			two.finds(t, "bert@example.com", "mail1")
			one.learns(t, "anna@example.com", "mail1")
			one.told(t)
			two.finds(t, "anna@example.com", "mail1")
			two.Disown(address(t, "anna@example.com"))
			one.Disown(address(t, "anna@example.com"))
			if n := number(t, client, "Memory", "used_memory_vm_eval"); n > size/8 {
				t.Errorf("the scripts had %d octets in hand", n)
			}
		}
	})
}

// forge returns a text that looks like a record more or less.
func forge(r *rand.Rand) string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	now := time.Now().UnixMicro()
	at := strconv.FormatInt([]int64{
		now, now - int64(r.IntN(1e13)), now + int64(r.IntN(1e13)), -now, 0, 1, math.MaxInt64, math.MinInt64, r.Int64(),
	}[r.IntN(9)], 10)
	random := make([]byte, r.IntN(64))
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	host, _ := json.Marshal(pick("mail1", "mail9", "", string(random), "mail1.example.org", strings.Repeat("h", r.IntN(5000))))
	object := pick("{}", "", "null", "[]", string(random),
		fmt.Sprintf(`{"host":%s}`, host), fmt.Sprintf(`{"HOST":%s}`, host), fmt.Sprintf(`{"host": %s}`, host),
		fmt.Sprintf(`{"host":%s,"weak":true,"code":%d,"enhanced":%q,"method":%q,"took_ms":%d}`, host, r.Int64(), pick("2.0.0", strings.Repeat("9", 900)), random, r.Int64()-r.Int64()))
	return pick(pick("1", "1", "1", "0", "2", "-1", "")+pick(" ", " ", "\t", "")+at+" "+object, string(random))
}

// Whatever is forged, a look-up learns no more from it than of an owner that is alive, and
// whom a purge of his host or of all would find; and nothing of it is worse for a mailbox
// than that it is not refused.
func TestForgedRecordSaysNothingThatIsNotAYes(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f, ctx := join(t, at), t.Context()
		f.isUp(t)
		r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same at each run
		answered := 0
		for i := range 3000 {
			text := forge(r)
			local := fmt.Sprintf("user%d", i)
			if err := client.Set(ctx, "postwhere:address:"+local+"@example.com", text, 0).Err(); err != nil {
				t.Fatal(err)
			}
			a := policy.AddressOf(local, "example.com")
			denied := f.link.Consult(ctx, a, func(yes policy.Answer) bool {
				answered++
				if yes.Says != policy.Yes || yes.Host == "" || !strings.Contains(text, hostText(yes.Host)) {
					t.Errorf("%q: %+v", text, yes)
				}
				return true
			})
			memo := f.Recall(a, time.Now())
			if len(memo.Answers) > 0 || !denied.IsZero() && memo.Owner.Says != policy.Unasked {
				t.Errorf("%q: %+v, denied %v", text, memo, denied)
			}
			if o := memo.Owner; o.Says != policy.Unasked && (o.Says != policy.Yes || time.Since(o.At) < 0 || time.Since(o.At) >= f.Expire("example.com")) {
				t.Errorf("%q: %+v", text, o)
			}
		}
		if answered == 0 {
			t.Error("nothing of it was a yes: that is no test")
		}
	})
}

// A list, a set and so on under our names are somebody else's. Owners take their place;
// instead of a stream they make the server one that cannot be used, until they are gone.
func TestKeyOfAnotherTypeIsSomebodyElses(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		ctx := t.Context()
		for name, put := range map[string]func(key string) error{
			"list": func(key string) error { return client.RPush(ctx, key, "x").Err() },
			"set":  func(key string) error { return client.SAdd(ctx, key, "x").Err() },
			"hash": func(key string) error { return client.HSet(ctx, key, "x", "y").Err() },
			"zset": func(key string) error { return client.ZAdd(ctx, key, redis.Z{Member: "x"}).Err() },
			"stream": func(key string) error {
				return client.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []string{"x", "y"}}).Err()
			},
		} {
			one, two := join(t, at), join(t, at)
			mailbox := name + "@example.com"
			if err := put("postwhere:address:" + mailbox); err != nil {
				t.Fatal(err)
			}
			two.isUp(t)
			if host := two.consults(t, mailbox); host != "" {
				t.Errorf("a %s: at %s", name, host)
			}
			one.learns(t, mailbox, "mail1")
			one.told(t)
			two.finds(t, mailbox, "mail1")
			if name != "list" {
				continue
			}
			for _, stream := range []string{"postwhere:purges", "postwhere:denied"} {
				// In one step: a stream that is gone a front end begins again.
				if err := errors.Join(put("other"), client.Rename(ctx, "other", stream).Err()); err != nil {
					t.Fatal(err)
				}
				for _, f := range []*frontEnd{one, two} {
					if !realhost.Eventually(func() bool {
						why := f.link.State().Why
						return why != nil && strings.Contains(why.Error(), "WRONGTYPE")
					}) {
						t.Errorf("a %s as %s: %v", name, stream, f.link.State().Why)
					}
				}
				client.Del(ctx, stream)
				wantBack(t, one, two)
			}
		}
	})
}

// A denial of what cannot be an address of ours is none, and a purge of it one of all.
func TestForgedEntriesOfTheStreams(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f := join(t, at)
		f.learns(t, "anna@example.com", "mail1")
		f.told(t)
		long := strings.Repeat("x", 1<<20) + "@example.com"
		now := time.Now().UnixMicro()
		for _, values := range [][]any{
			{"v", version, "address", long, "at", now},
			{"v", version, "address", "anna", "at", now},
			{"v", version, "address", "anna@example.com", "at", "soon"},
			{"v", version, "address", "anna@example.com"},
			{"v", "2", "address", "anna@example.com", "at", now},
			{"x", "y"},
			{"v", version, "address", "bert@example.com", "at", int64(math.MaxInt64)},
		} {
			if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: "postwhere:denied", Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		bert := nameOf(address(t, "bert@example.com"))
		if !realhost.Eventually(func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return !f.doubted[bert].IsZero() && len(f.doubted) == 1
		}) {
			t.Errorf("%d are in doubt", len(f.doubted))
		}
		if since := f.doubted[bert]; time.Since(since) < 0 || time.Since(since) > time.Minute {
			t.Errorf("bert is in doubt since %v", since)
		}
		if host := f.consults(t, "anna@example.com"); host != "mail1" {
			t.Errorf("anna is at %q", host)
		}
		if err := purgeScript.Run(t.Context(), client, []string{"postwhere:purges"}, 10, version, "another", kindHost, long).Err(); err != nil {
			t.Fatal(err)
		}
		f.forgets(t, "anna@example.com")
		f.log.waits(t, 1, `what="all="`)
		if n := len(f.log.String()); n > 10_000 {
			t.Errorf("the log has %d octets", n)
		}
	})
}

// Entries of many words without an octet are large, too.
func TestEntriesOfManyWords(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		for i, words := range []int{60_000, 4000, 2000} {
			mailbox := fmt.Sprintf("anna%d@example.com", i)
			one.learns(t, mailbox, "mail1")
			for range 5 {
				for _, stream := range []string{"postwhere:denied", "postwhere:purges"} {
					if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: make([]string, words)}).Err(); err != nil {
						t.Fatal(err)
					}
				}
			}
			heardAll(t, client, one, two)
			one.forgets(t, mailbox)
		}
		one.log.wants(t, 0, "is no answer")
	})
}
