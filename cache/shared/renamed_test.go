package shared

import (
	"strings"
	"testing"
	"time"

	"postwhere/packaging/realhost"
)

// An administrator has renamed a command that front ends need. They go on alone, or do not
// tell each other what they learn; State says which command it is.
func TestServerThatLacksACommand(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		for _, command := range []string{"GETRANGE", "SET", "EVAL", "XADD", "XREAD", "XINFO", "TIME", "PEXPIRE"} {
			t.Run(command, func(t *testing.T) {
				t.Parallel()
				r := kind.Start(t, "rename-command "+command+" \"\"")
				at := serverOf(t, "redis://"+r.Addr())
				f := join(t, at)
				f.learns(t, "anna@example.com", "mail1")
				f.link.Deny(address(t, "bert@example.com"), f.Recall(address(t, "anna@example.com"), time.Now()).Owner.At)
				if !realhost.Eventually(func() bool {
					f.consults(t, "carl@example.com")
					why := f.link.State().Why
					return why != nil && strings.Contains(strings.ToLower(why.Error()), "unknown")
				}) {
					t.Errorf("State: %v", f.link.State().Why)
				}
				if f.consults(t, "anna@example.com") != "mail1" {
					t.Error("what was known is not")
				}
			})
		}
	})
}
