package probe

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// FuzzDialogue lets a host say anything to each command in turn, its greeting first:
// what is said is divided by NUL, and when it is used up the host falls silent. The
// question is answered in its time, nothing is left behind, and there is a no only if
// the host has said one in full.
func FuzzDialogue(f *testing.F) {
	for _, seed := range []string{
		"220 a\r\n\x00250 a\r\n\x00550 5.1.1 x\r\n\x00252 2.0.0 anna@d.test\r\n",
		"220 a\r\n\x00250 a\r\n\x00550 5.1.1 x\r\n\x00550 5.1.1 anna@d.test\r\n",
		"220 a\r\n\x00250-a\r\n250 PIPELINING\r\n\x00502 no\r\n\x00250 ok\r\n\x00550 5.1.1 x\r\n\x00550 5.1.1 x\r\n",
		"220 a\r\n\x00250-a\r\n250 STARTTLS\r\n\x00220 go\r\n\x00\x16\x03\x01",
		"220-a\r\n220 b\r\n\x00500 what\r\n\x00250 a\r\n\x00252 x\r\n\x00250 ok\r\n\x00550 no\r\n\x00250 ok\r\n\x00550 no\r\n",
		"220 a\r\n250 a\r\n", "421 busy\r\n", "220 a\r\n\x00250 a\r\n421 bye\r\n", "\r\n\r\n", "220 a\x00250-a\r\n251 b\r\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, all string) {
		synctest.Test(t, func(t *testing.T) {
			said := strings.Split(all, "\x00")
			h := newPipeHost(func(d *dialogue, _, _ string) string {
				at := len(d.heard)
				if at >= len(said) {
					return hang
				}
				go func() { _, _ = d.conn.Write([]byte(said[at])) }() // we may be writing, too
				return mute
			})
			p := ofHost(t, h, func(c *Config) { c.ReplyTimeout = 10 * time.Second })
			begun := time.Now()
			got := p.Ask(t.Context(), address(t, "anna@d.test"))
			if took := time.Since(begun); took > 50*time.Second {
				t.Errorf("answered after %v", took)
			}
			p.Close()
			h.conns.Wait()
			if got.Says == policy.No && !strings.Contains(all, "5.1.1") && !strings.Contains(all, "5.1.6") && !strings.Contains(all, "5.1.10") &&
				!strings.Contains(all, "524 5.2.4") && strings.Count(all, "55") < 2 && strings.Count(all, "501") < 2 {
				t.Errorf("no: %q", got.Reply)
			}
			if n := h.openNow(); n > 0 {
				t.Errorf("%d connections are left", n)
			}
		})
	})
}

// FuzzParseEndpoint: what is read can be written and read again, and is dialled as it
// was meant.
func FuzzParseEndpoint(f *testing.F) {
	for _, seed := range []string{
		"mail1", "mail1:25", "smtp:inet:mail1:25", "lmtp:unix:/run/lmtp", "lmtp:[2001:db8::1]:24", "2001:db8::1", "minger:mail1", "smtp:lmtp:x", "inet:", "unix:x", "[::1", "a:b:c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := ParseEndpoint(s)
		if err != nil {
			return
		}
		again, err := ParseEndpoint(e.String())
		if err != nil || again != e {
			t.Fatalf("%q is %+v, which is written %q and read %+v, %v", s, e, e, again, err)
		}
	})
}
