package probe

import (
	"sync/atomic"
	"testing"
	"time"

	"postwhere/policy"
)

// Who tries a password that is refused again and again is locked out, and shut out.
func TestLoginThatIsRefusedIsNotTriedOften(t *testing.T) {
	var right atomic.Bool
	usual := has(true, "anna")
	inBubble(t, func(d *dialogue, verb, arg string) string {
		switch {
		case verb == "EHLO":
			return "250-fake.test\n250 AUTH PLAIN"
		case verb == "AUTH" && !right.Load():
			return "535 5.7.8 Error: authentication failed"
		case verb == "AUTH":
			return "235 2.7.0 ok"
		}
		return usual(d, verb, arg)
	}, func(b bubble) {
		t, h, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Unsure)
		time.Sleep(24 * time.Hour)
		if n := h.count("AUTH"); n < 200 || n > 350 {
			t.Errorf("tried %d times in a day", n)
		}
		right.Store(true)
		time.Sleep(2 * lastLogin)
		wantSays(t, p, "anna@d.test", policy.Yes)
	}, func(c *Config) { c.Security.Level, c.Security.User, c.Security.Secret = TLSNone, "probe", "hush" })
}

// It is found soon when the login was refused for now only, and when the host was away after that.
func TestHostWhoseLoginIsMendedIsFoundSoon(t *testing.T) {
	for said, reboots := range map[string]bool{"535 5.7.8 Error: authentication failed": true, "454 4.7.0 Temporary authentication failure": false} {
		var right, down atomic.Bool
		usual := has(true, "anna")
		inBubble(t, func(d *dialogue, verb, arg string) string {
			switch {
			case verb == "GREETING" && down.Load():
				return "554 5.3.2 shutting down"
			case verb == "EHLO":
				return "250-fake.test\n250 AUTH PLAIN"
			case verb == "AUTH" && !right.Load():
				return said
			case verb == "AUTH":
				return "235 2.7.0 ok"
			}
			return usual(d, verb, arg)
		}, func(b bubble) {
			t, h, p := b.open()
			wantSays(t, p, "anna@d.test", policy.Unsure)
			time.Sleep(2 * time.Hour)
			right.Store(true)
			if reboots {
				down.Store(true)
				for n := h.connections(); h.connections() == n; {
					time.Sleep(time.Second)
				}
				down.Store(false)
			}
			time.Sleep(2 * lastTry)
			wantSays(t, p, "anna@d.test", policy.Yes)
		}, func(c *Config) { c.Security.Level, c.Security.User, c.Security.Secret = TLSNone, "probe", "hush" })
	}
}
