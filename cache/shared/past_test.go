package shared

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postwhere/cache"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// anna is to be forgotten.
var forgetAnna = cache.Purge{Name: cache.Name{Local: "anna", Domain: "example.com"}}

// putsOff has a front end purge while the server is away.
func (f *frontEnd) putsOff(t *testing.T) {
	t.Helper()
	f.wantAlone(t)
	soon, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	f.Purge(forgetAnna)
	if err := f.link.Purge(soon, forgetAnna); err == nil {
		t.Fatal("it is told to a server that is away")
	}
}

// A purge that waits for the server outlives the link, and the program.
func TestPurgeOutlivesTheLink(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		for name, next := range map[string]func(*Config, *frontEnd){
			"a reload": func(c *Config, last *frontEnd) { c.Before = last.link },
			"a restart": func(c *Config, last *frontEnd) {
				last.link.Close()
				note, err := json.Marshal(last.link.Past())
				if err == nil {
					err = json.Unmarshal(note, &c.Past)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
		} {
			r, at, _ := redisAt(t, kind, "")
			one, two := join(t, at), join(t, at)
			one.learns(t, "anna@example.com", "mail1")
			one.told(t)
			two.finds(t, "anna@example.com", "mail1")
			two.isUp(t)
			r.Pause(t)
			one.putsOff(t)
			if name == "a reload" {
				one.link.Deny(address(t, "bert@example.com"), time.Now())
			}
			three := join(t, at, func(c *Config) { next(c, one) })
			one.link.Own(address(t, "carl@example.com")) // a search that began before
			if past := three.link.Past(); len(past.Untold) != 1 || past.Untold[0] != forgetAnna {
				t.Errorf("%s: %+v", name, past)
			}
			if n := one.link.State().Waiting; name == "a reload" && n != 0 {
				t.Errorf("%s: %d changes wait at the old link", name, n)
			}
			one.link.Close()
			r.Resume(t)
			two.forgets(t, "anna@example.com")
			three.told(t)
			if len(three.link.Past().Untold) != 0 || three.consults(t, "anna@example.com") != "" {
				t.Errorf("%s: it is not told", name)
			}
		}
	})
}

// The server begins empty, or with an old copy, before a front end that was away has heard
// of a purge that all others have: it hears of it all the same.
func TestPurgeOutlivesTheServersMemory(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r, at, client := redisAt(t, kind, "user mail on >hush "+aclRights)
		one := join(t, at)
		at.User, at.Password = "mail", "hush"
		two := join(t, at)
		one.learns(t, "anna@example.com", "mail1")
		one.told(t)
		two.finds(t, "anna@example.com", "mail1")
		shutOut(t, client, two)
		one.flushes(t, forgetAnna)
		heardAll(t, client, one)
		r.Stop(t)
		r.Start(t) // and lets the other in
		two.forgets(t, "anna@example.com")
		one.told(t)
	})
}

// What a slow file says of the past counts, though the link has begun without it.
func TestPastThatComesLate(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		if err := one.link.Purge(t.Context(), cache.Purge{Host: "mail9"}); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, two)
		two.link.Close()
		past := two.link.Past()
		if err := one.link.Purge(t.Context(), forgetAnna); err != nil {
			t.Fatal(err)
		}
		last := one.link.Position()
		two = join(t, at, func(c *Config) { c.Past.Position = Position{ahead, ahead} })
		two.isUp(t)
		heardAll(t, client, one)
		two.link.Recollect(Past{Position: Position{"x", ""}})
		two.link.Recollect(Past{Position: last})
		two.Own(policy.AddressOf("anna", "example.com"), policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()})
		past.Untold = []cache.Purge{{}, {Domain: "example.org"}}
		two.link.Recollect(past)
		two.forgets(t, "anna@example.com")
		two.told(t)
		heardAll(t, client, one, two)
		one.log.waits(t, 1, "domain=example.org")
	})
}

// atLog is a log that does something at the first line with a text.
type atLog struct {
	slog.Handler
	text string
	do   func()
	once *sync.Once
}

func (h atLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

func (h atLog) Handle(ctx context.Context, r slog.Record) error {
	says := strings.Contains(r.Message, h.text)
	r.Attrs(func(a slog.Attr) bool {
		says = says || strings.Contains(a.Value.String(), h.text)
		return !says
	})
	if says {
		h.once.Do(h.do)
	}
	return h.Handler.Handle(ctx, r)
}

// An owner comes out of a slow file when his purge has just been read, from further back than
// the file's past is, and before it is noted that it was read.
func TestPastThatComesWhileTheStreamsAreRead(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one := join(t, at)
		if err := one.link.Purge(t.Context(), cache.Purge{Host: "mail9"}); err != nil {
			t.Fatal(err)
		}
		heardAll(t, client, one)
		past := one.link.Past()
		if err := one.link.Purge(t.Context(), forgetAnna); err != nil {
			t.Fatal(err)
		}
		var two *frontEnd
		joined, came := make(chan struct{}), make(chan struct{})
		two = join(t, at, func(c *Config) {
			c.Log = slog.New(atLog{c.Log.Handler(), "anna@example.com", func() {
				<-joined
				two.Own(policy.AddressOf("anna", "example.com"), policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now()})
				two.link.Recollect(past)
				close(came)
			}, new(sync.Once)})
		})
		close(joined)
		<-came
		two.forgets(t, "anna@example.com")
	})
}

// A past that is no further back comes when it has just been found that the server was flushed, or
// is too slow to be read, and its clock is behind what was read: what is purged from then on has
// lower numbers, and is heard.
func TestPastThatComesWhileTheStreamsBeginAnew(t *testing.T) {
	t.Parallel()
	for _, why := range []string{"what was purged may be lost", "what was purged cannot be read in time"} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
				r, at, client := redisOf(t, kind.StartWithClock(t, ""))
				one := join(t, at)
				one.flushes(t, cache.Purge{Host: "mail9"})
				at, slow := withoutReads(t, at)
				var two *frontEnd
				joined := make(chan struct{})
				two = join(t, at, func(c *Config) {
					c.Log = slog.New(atLog{c.Log.Handler(), why, func() {
						<-joined
						two.link.Recollect(Past{})
					}, new(sync.Once)})
				})
				close(joined)
				heardAll(t, client, one, two)
				slow.Store(strings.HasSuffix(why, "in time"))
				r.SetClock(t, -2*time.Hour)
				if err := client.FlushAll(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}
				two.log.waits(t, 1, why)
				slow.Store(false)
				two.isUp(t)
				two.reads(t)
				two.learns(t, "anna@example.com", "mail1")
				one.flushes(t, forgetAnna)
				two.forgets(t, "anna@example.com")
			})
		})
	}
}

func TestPastOfTwo(t *testing.T) {
	one := Past{Position: Position{"5-0", "7-0"}, Untold: []cache.Purge{forgetAnna}}
	two := Past{Position: Position{"6-0", "6-0"}, Untold: []cache.Purge{{All: true}}}
	want := Past{Position: Position{"5-0", "6-0"}, Untold: []cache.Purge{forgetAnna, {All: true}}}
	if diff := cmp.Diff(want, one.And(two)); diff != "" {
		t.Error(diff)
	}
	for _, got := range []Past{one.And(Past{}), (Past{}).And(one)} {
		if diff := cmp.Diff(one, got); diff != "" {
			t.Error(diff)
		}
	}
}
