package probe

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// VRFY must be the last of a pipelined group (RFC 2920 section 3.1), and Postfix
// with smtpd_forbid_unauth_pipelining hangs up on who does not wait. So nothing
// follows it before its reply, however many ask.
func TestNothingFollowsAVRFYBeforeItsReply(t *testing.T) {
	tells := has(true, "anna")
	var early sync.Map
	inBubble(t, func(d *dialogue, verb, arg string) string {
		if verb == "VRFY" {
			_ = d.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := d.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				early.Store(arg, err)
			}
			_ = d.conn.SetReadDeadline(time.Time{})
		}
		return tells(d, verb, arg)
	}, func(b bubble) {
		t, _, p := b.open()
		var asking sync.WaitGroup
		for i := range 30 {
			asking.Go(func() {
				for n := range 10 {
					wantSays(t, p, "anna@d.test", policy.Yes)
					wantSays(t, p, fmt.Sprintf("nobody%d.%d@d.test", i, n), policy.No)
				}
			})
		}
		asking.Wait()
		early.Range(func(arg, err any) bool {
			t.Errorf("VRFY %s: something came before its reply, %v", arg, err)
			return true
		})
	}, func(c *Config) { c.Connections = 5 })
}
