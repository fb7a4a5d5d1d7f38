package probe

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// drip says lines slowly, an octet a second: so each read of them succeeds.
func (d *dialogue) drip(lines string) {
	for _, octet := range []byte(strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n") {
		time.Sleep(time.Second)
		if _, err := d.conn.Write([]byte{octet}); err != nil {
			return
		}
	}
}

// dripAt makes a host that does so at a command about an address that begins so.
func dripAt(verb, prefix string, else_ answerer) answerer {
	return func(d *dialogue, v, arg string) string {
		said := else_(d, v, arg)
		if said == "" {
			said = usual(v)
		}
		if v == verb && strings.HasPrefix(arg, prefix) {
			d.drip(said)
			return drop
		}
		return said
	}
}

// A host that drips each reply, at whichever stage, has the time of one that is
// silent: octets win it nothing. Close does not wait for its farewell either.
func TestHostThatDripsIsUnsureAfterItsTime(t *testing.T) {
	for _, stage := range stagesOfSilence {
		inBubble(t, dripAt(stage.verb, stage.prefix, has(stage.vrfy, "anna")), func(b bubble) {
			t, h, p := b.open()
			start := time.Now()
			got := wantSays(t, p, "anna@d.test", policy.Unsure)
			if took := time.Since(start); took < 10*time.Second || took > 20*time.Second+quitTime { // it does not hear QUIT
				t.Errorf("%s %s: %s after %v", stage.verb, stage.prefix, got.Why, took)
			}
			start = time.Now()
			p.Close()
			if took := time.Since(start); took > 2*quitTime || h.openNow() > 1 { // the dripping one has not noticed
				t.Errorf("%s %s: Close took %v, %d connections", stage.verb, stage.prefix, took, h.openNow())
			}
		})
	}
}

func TestHostThatDripsItsFarewellIsNotWaitedFor(t *testing.T) {
	inBubble(t, dripAt("QUIT", "", has(true, "anna")), func(b bubble) {
		t, _, p := b.open()
		wantSays(t, p, "anna@d.test", policy.Yes)
		start := time.Now()
		p.Close()
		if took := time.Since(start); took > quitTime {
			t.Errorf("Close took %v", took)
		}
	})
}

// One that never ends a reply, however quickly it writes, is not listened to for
// ever: nor does it fill the memory.
func TestHostThatNeverEndsAReplyIsUnsure(t *testing.T) {
	for _, more := range []string{"550-5.1.1 no such user\r\n", "x", "250-2.1.5 Ok\r\n", "\r\n"} {
		for _, stage := range stagesOfSilence {
			t.Run(fmt.Sprintf("%q at %s %s", more, stage.verb, stage.prefix), func(t *testing.T) {
				tells := has(stage.vrfy, "anna")
				inBubble(t, func(d *dialogue, v, arg string) string {
					if v != stage.verb || !strings.HasPrefix(arg, stage.prefix) {
						return tells(d, v, arg)
					}
					for written := 0; ; written += len(more) {
						if _, err := io.WriteString(d.conn, more); err != nil {
							return drop
						}
						if written > 1<<20 {
							t.Error("it was listened to for a megabyte")
							return drop
						}
					}
				}, func(b bubble) {
					t, h, p := b.open()
					wantSays(t, p, "anna@d.test", policy.Unsure)
					if n := h.connections(); n > 3 {
						t.Errorf("%d connections for one question", n)
					}
				})
			})
		}
	}
}

// In a pipe each reply has its time.
func TestHostThatDripsInAPipeIsNoNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dripping atomic.Bool
		h := crowdHost(func(d *dialogue, verb, _, said string) string {
			if dripping.Load() && verb == "RCPT" {
				d.drip(said)
				return drop
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.ReplyTimeout = RCPT, 2, 10*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		dripping.Store(true)
		start := time.Now()
		for i, got := range askAtOnce(t, p, "anna%d@d.test", 20) {
			if got.Says == policy.No {
				t.Errorf("anna%d: %q", i, got.Reply)
			}
		}
		if took := time.Since(start); took > patience {
			t.Errorf("it took %v", took)
		}
		p.Close()
	})
}
