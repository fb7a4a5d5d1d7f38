package shared

import (
	"math"
	"strings"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// A time that goes to the server and comes back is none the younger for it, whatever
// its clock says, and a denial little older.
func TestTimesByTheServersClock(t *testing.T) {
	const exact = 10 * time.Millisecond
	at := time.Now()
	now := at.Add(time.Minute)
	for _, ahead := range []time.Duration{0, time.Hour, -24 * time.Hour} {
		read := reading{server: now.Add(ahead - 5*time.Second).Round(0), sent: now.Add(-5*time.Second - exact), got: now.Add(-5 * time.Second)}
		there := read.there(at, now)
		if d := there.Sub(at.Add(ahead).Round(0)); d > 0 || d < -exact {
			t.Errorf("%v ahead: %v later there", ahead, d)
		}
		first, last := read.here(there)
		if d := at.Sub(first); d < 0 || d > 2*exact {
			t.Errorf("%v ahead: %v older here", ahead, d)
		}
		if d := at.Sub(last).Abs(); d > exact {
			t.Errorf("%v ahead: as a denial %v off here", ahead, d)
		}
	}
	read := reading{server: now, sent: now, got: now}
	for _, at := range []time.Time{now.AddDate(1000, 0, 0), time.UnixMicro(math.MaxInt64)} {
		if first, last := read.here(at); first.Before(now) || last.Before(now) {
			t.Errorf("%v is %v and %v here", at, first, last)
		}
	}
	if there := read.there(now.Add(time.Hour), now); there.After(now) {
		t.Errorf("of a time to come: %v", there)
	}
}

func TestExactReadingIsKeptUntilTheClockIsSet(t *testing.T) {
	now := time.Now()
	of := func(at, took, ahead time.Duration) reading {
		return reading{server: now.Add(at + ahead).Round(0), sent: now.Add(at - took), got: now.Add(at)}
	}
	const ms = time.Millisecond
	exact := of(0, ms, 0)
	for _, test := range []struct {
		name  string
		later reading
		kept  bool
	}{
		{"less exact", of(time.Second, 50*ms, 0), true},
		{"less exact, and late", of(time.Second, 50*ms, -40*ms), true},
		{"more exact", of(time.Second, ms/2, 0), false},
		{"set forward", of(time.Second, 50*ms, time.Hour), false},
		{"set back", of(time.Second, 50*ms, -time.Hour), false},
		{"much later", of(time.Minute, 50*ms, 0), false},
	} {
		if kept := exact.better(test.later) == exact; kept != test.kept {
			t.Errorf("%s: kept %v", test.name, kept)
		}
	}
	if first := (reading{}).better(exact); first != exact {
		t.Error("the first is not taken")
	}
}

// An owner whom a front end has told of whose clock is ahead is one who can be denied.
func TestDenialIsHeardBehindAClockThatIsAhead(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		one.hasLearnt(t, "anna@example.com", "mail1", 2*slack)
		one.told(t)
		two.finds(t, "anna@example.com", "mail1")
		ahead := record{at: time.Now().Add(time.Hour), owner: policy.Answer{Host: "mail1"}}.String()
		if err := client.Set(t.Context(), "postwhere:address:anna@example.com", ahead, time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		one.link.Deny(address(t, "anna@example.com"), time.Now())
		one.told(t)
		two.forgets(t, "anna@example.com")
		if text := client.Get(t.Context(), "postwhere:address:anna@example.com").Val(); !strings.HasSuffix(text, " {}") {
			t.Errorf("stored: %s", text)
		}
	})
}

// A denial is told though the server has an owner who was asked later: another front
// end may know the one who was asked before.
func TestDenialIsToldInAnyCase(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		_, at, client := redisAt(t, kind, "")
		one, two := join(t, at), join(t, at)
		anna, now := address(t, "anna@example.com"), time.Now()
		one.Own(anna, policy.Answer{Host: "mail1", Says: policy.Yes, At: now.Add(-2 * slack)})
		one.link.Own(anna)
		one.told(t)
		two.finds(t, "anna@example.com", "mail1")
		one.Own(anna, policy.Answer{Host: "mail2", Says: policy.Yes, At: now})
		one.link.Own(anna)
		one.told(t)
		one.link.Deny(anna, now.Add(-slack))
		one.told(t)
		two.forgets(t, "anna@example.com")
		if text := client.Get(t.Context(), "postwhere:address:anna@example.com").Val(); !strings.Contains(text, "mail2") {
			t.Errorf("stored: %s", text)
		}
	})
}
