package config

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDurationIsReadInPostfixsUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"250ms": 250 * time.Millisecond, "10s": 10 * time.Second, "5m": 5 * time.Minute, "1h": time.Hour,
		"7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour, "0s": 0, "1h30m": 90 * time.Minute,
		"1m1ms": time.Minute + time.Millisecond, "010s": 10 * time.Second, "90s90s": 3 * time.Minute,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(d), err, want)
		}
	}
}

func TestDurationIsWrittenInTheLargestUnits(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": 0, "250ms": 250 * time.Millisecond, "1m30s": 90 * time.Second, "1w": 7 * 24 * time.Hour, "1d1ms": 24*time.Hour + time.Millisecond,
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestDurationReadsWhatItWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(time.Duration(rapid.Int64Range(0, 1<<42).Draw(t, "ms")) * time.Millisecond)
		var again Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Fatalf("%d became %q became %d, %v", d, d.String(), again, err)
		}
	})
}

func TestDurationIsNeverNegative(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([0-9]{1,9}(ms|s|m|h|d|w)){1,6}`).Draw(t, "text")
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil && (d < 0 || time.Duration(d)%time.Millisecond != 0) {
			t.Fatalf("%q is %d", text, d)
		}
	})
}

func TestListenerReadsWhatItWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringMatching(`inet:[a-z0-9.-]{1,20}:[0-9]{1,5}`),
			rapid.StringMatching(`inet:\[[0-9a-f:]{2,20}\]:[0-9]{1,5}`),
			rapid.StringMatching(`unix:/[a-z0-9._/-]{0,120}`),
		).Draw(t, "text")
		var l, again Listener
		if l.UnmarshalText([]byte(text)) != nil {
			t.Skip("no listener")
		}
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != l {
			t.Fatalf("%q became %q became %q, %v", text, l, again, err)
		}
	})
}

// So that two spellings of one address are seen to be alike.
func TestListenerHasOneSpelling(t *testing.T) {
	for text, want := range map[string]string{
		"inet:127.0.0.1:010045": "inet:127.0.0.1:10045", "inet:[::1]:25": "inet:[::1]:25", "inet:localhost:0": "inet:localhost:0",
		"unix:/run//postwhere/../a/": "unix:/run/a", "unix:/": "unix:/",
	} {
		var l Listener
		if err := l.UnmarshalText([]byte(text)); err != nil || l.String() != want {
			t.Errorf("%q is %q, %v, want %q", text, l, err, want)
		}
	}
}

func TestReplyReadsWhatItWrites(t *testing.T) {
	for _, text := range []string{"550 5.1.1 User unknown", "450 4.4.1 Try later", "551 5.10.999 x", "550 5.0.0 " + strings.Repeat("x", 400)} {
		var r SMTPReply
		if err := r.UnmarshalText([]byte(text)); err != nil || r.String() != text {
			t.Errorf("%q became %q, %v", text, r, err)
		}
	}
}
