package daemon

import (
	"sync/atomic"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// A host whose directory breaks denies everybody in the words in which it denies strangers.
// As soon as it has denied somebody whom it had, mail for those waits at its sender: sent on
// it would bounce. Nobody is refused from then on, by what is remembered neither, and when
// the directory is whole all is as before.
func TestDirectoryThatBreaks(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	has := testbed.Having("anna@example.com", "bert@example.com", "carla@example.com")
	mail1 := testbed.StartHost(t, func(to string) error {
		if broken.Load() {
			return testbed.ErrNobody
		}
		return has(to)
	})
	d, _ := startDaemon(t, testbed.SiteText(mail1)+"[cache]\nunsure_expire = \"1ms\"\n")
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	broken.Store(true)
	d.wants(t, "bert@example.com", policy.Reject, "", policy.SourceSearch) // nobody can know it yet
	d.memory.Distrust("mail1", time.Now())                                 // she is asked again
	d.waits(t, "anna@example.com", policy.Defer, "")
	for _, to := range []string{"bert@example.com", "carla@example.com", "anna@example.com"} {
		d.waits(t, to, policy.Defer, "")
	}
	broken.Store(false)
	d.waits(t, "anna@example.com", policy.Deliver, "mail1")
	d.waits(t, "bert@example.com", policy.Deliver, "mail1")
	d.waits(t, "nobody@example.com", policy.Reject, "")
}
