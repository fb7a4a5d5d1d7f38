package shared

import (
	"bufio"
	"context"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

func TestServerIsPrintedAsItIsWritten(t *testing.T) {
	for text, want := range map[string]string{
		"redis://h":                    "redis://h:6379/0",
		"redis://mail@h:1234/5":        "redis://mail@h:1234/5",
		"rediss://[2001:db8::1]:1234/": "rediss://[2001:db8::1]:1234/0",
		"unix:///run/redis.sock":       "unix:///run/redis.sock?db=0",
		"unix://mail@/run/redis?db=2":  "unix://mail@/run/redis?db=2",
	} {
		s, err := ParseServer(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		s.Password = "hush"
		if got := s.String(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
		if again, err := ParseServer(s.String()); err != nil || again.String() != want {
			t.Errorf("%s: %v, %v", s, again, err)
		}
	}
}

// A user that may do no more than is said in the README is enough, by the socket, too.
func TestUserWithPasswordAndFewRights(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "requirepass other\nuser mail on >hush "+aclRights)
		for _, url := range []string{"redis://mail@" + r.Addr() + "/0", "unix://mail@" + r.Dir() + "/" + realhost.RedisSocket} {
			at := serverOf(t, url)
			at.Password = "hush"
			one, two := join(t, at), join(t, at)
			one.learns(t, "anna@example.com", "mail1")
			one.told(t)
			two.finds(t, "anna@example.com", "mail1")
			one.link.Deny(address(t, "anna@example.com"), time.Now())
			two.forgets(t, "anna@example.com")
			var err error
			if !realhost.Eventually(func() bool { // on a busy machine it may not be answered in time
				_, err = Check(t.Context(), at)
				return err == nil
			}) {
				t.Errorf("%s: %v", url, err)
			}
			at.Password = "wrong"
			three := join(t, at)
			three.log.waits(t, 1, "shared memory is away")
			if why := three.link.State().Why; why == nil || !strings.Contains(why.Error(), "WRONGPASS") {
				t.Errorf("State: %v", why)
			}
			if _, err := Check(t.Context(), at); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
				t.Errorf("Check: %v", err)
			}
			for _, f := range []*frontEnd{one, two, three} {
				if log := f.log.String(); strings.Contains(log, "hush") || strings.Contains(log, "wrong") {
					t.Errorf("the log has a password:\n%s", log)
				}
			}
			one.link.Close()
		}
	})
}

// aclRights are those in the README.
const aclRights = "~postwhere:* +ping +select +getrange +set +del +scan +eval +evalsha +xadd +xread +xrange +xlen +xinfo +pexpire +time +info"

// The others are told of a purge once, however often its removal has to be tried.
func TestPurgeIsToldOnce(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "user mail on >hush "+strings.Replace(aclRights, "+scan ", "", 1))
		at.User, at.Password = "mail", "hush"
		one, two := join(t, at), join(t, at)
		one.reads(t) // before it has, it tells again what may be lost
		one.learns(t, "anna@example.com", "mail1")
		one.told(t)
		soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		one.Purge(cache.Purge{All: true})
		if err := one.link.Purge(soon, cache.Purge{All: true}); err == nil {
			t.Error("it may not be removed, and is")
		}
		one.log.waits(t, 1, "shared memory takes nothing")
		two.log.waits(t, 1, "memory is flushed at another front end")
		if err := client.Do(t.Context(), "ACL", "SETUSER", "mail", "+scan").Err(); err != nil {
			t.Fatal(err)
		}
		one.log.waits(t, 1, "shared memory takes what it is told again")
		one.told(t)
		told := 0
		for _, e := range client.XRange(t.Context(), "postwhere:purges", "-", "+").Val() {
			if e.Values["kind"] == kindAll {
				told++
			}
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
		if n := client.Exists(t.Context(), "postwhere:address:anna@example.com").Val(); n != 0 {
			t.Error("anna is there yet")
		}
	})
}

func TestRightsAreThoseOfTheREADME(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil || !strings.Contains(string(text), aclRights) {
		t.Errorf("%v, or the README has not %q", err, aclRights)
	}
}

// What answers is no Redis.
func TestServerThatTalksRubbish(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"a mail server": "220 mail1.example.com ESMTP\r\n",
		"a web server":  "HTTP/1.1 400 Bad Request\r\n\r\n",
		"zeros":         strings.Repeat("\x00", 1000),
		"huge length":   "$2147483647\r\n",
		"odd types":     "*3\r\n:1\r\n*1\r\n$-1\r\n+OK\r\n",
		"endless line":  "+" + strings.Repeat("x", 1<<20),
		"other errors":  "-ERR unknown command\r\n",
		"nothing":       "",
		"half a reply":  "$100\r\nabc",
		"wrong numbers": ":5\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := serverOf(t, "redis://"+rubbish(t, reply))
			f := join(t, at)
			f.learns(t, "anna@example.com", "mail1")
			f.wantAlone(t)
			if host := f.consults(t, "bert@example.com"); host != "" {
				t.Errorf("bert is at %s", host)
			}
			if f.consults(t, "anna@example.com") != "mail1" {
				t.Error("what was known is not")
			}
			if _, err := Check(t.Context(), at); err == nil {
				t.Error("Check finds nothing wrong")
			}
		})
	}
}

// rubbish returns the address of a server that says the same to everything.
func rubbish(t testing.TB, reply string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, conn)
			mu.Unlock()
			serving.Go(func() {
				defer conn.Close()
				for in := bufio.NewReader(conn); ; {
					if _, err := in.ReadString('\n'); err != nil {
						return
					}
					if _, err := conn.Write([]byte(reply)); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr().String()
}

// Entries that are not ours to read, or not yet, or of another type, are not there; and
// the next owner takes their place.
func TestForeignEntriesAreIgnored(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f, ctx := join(t, at), t.Context()
		future := record{at: time.Now().Add(time.Hour), owner: policy.Answer{Host: "mail9"}}.String()
		for _, text := range append(notRecords, future) {
			if err := client.Set(ctx, "postwhere:address:anna@example.com", text, 0).Err(); err != nil {
				t.Fatal(err)
			}
			f.isUp(t)
			if host := f.consults(t, "anna@example.com"); host != "" {
				t.Errorf("%q: at %s", text, host)
			}
		}
		client.Del(ctx, "postwhere:address:anna@example.com")
		client.RPush(ctx, "postwhere:address:anna@example.com", "a list")
		if host := f.consults(t, "anna@example.com"); host != "" {
			t.Errorf("a list: at %s", host)
		}
		f.learns(t, "anna@example.com", "mail1")
		f.told(t)
		if text := client.Get(ctx, "postwhere:address:anna@example.com").Val(); !strings.Contains(text, "mail1") {
			t.Errorf("stored: %q", text)
		}
		f.log.wants(t, 0, "takes nothing")
	})
}

// A link ends soon, whatever the server does.
func TestCloseWaitsForNobody(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, _ := redisAt(t, kind, "")
		f := join(t, at)
		f.learns(t, "anna@example.com", "mail1")
		f.told(t)
		r.Pause(t)
		f.learns(t, "bert@example.com", "mail1")
		begun := time.Now()
		f.link.Close()
		if took := time.Since(begun); took > closeWait+2*patience {
			t.Errorf("took %v", took)
		}
		f.link.Consult(context.Background(), address(t, "anna@example.com"), nil)
		f.link.Own(address(t, "anna@example.com"))
		f.link.Close()
		var none *Link
		none.Own(address(t, "anna@example.com"))
		none.Deny(address(t, "anna@example.com"), time.Now())
		if !none.Consult(context.Background(), address(t, "anna@example.com"), nil).IsZero() || none.Position() != (Position{}) {
			t.Error("no link knows something")
		}
		none.Close()
	})
}

// What was learnt last is told before the end.
func TestCloseTellsWhatIsPending(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		f := join(t, at)
		for i := range 1000 {
			f.learns(t, "user"+strings.Repeat("x", i%100)+string(rune('a'+i/100))+"@example.com", "mail1")
		}
		f.link.Close()
		if owners := client.Keys(t.Context(), "postwhere:address:*").Val(); len(owners) != 1000 {
			t.Errorf("%d entries, want 1000", len(owners))
		}
	})
}
