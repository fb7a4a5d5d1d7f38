package probe

import (
	"sync/atomic"
	"testing"
	"testing/synctest"

	"postwhere/policy"
)

// wornAt asks a crowd of a host that says so to the nth question of each connection but
// the first one, and hangs up. It returns how many refusals a connection is used for after
// that, and how often it was said.
func wornAt(t *testing.T, n int, says string) (refusals int, said int32) {
	synctest.Test(t, func(t *testing.T) {
		var worn atomic.Int32
		h := crowdHost(func(d *dialogue, verb, _, said string) string {
			if verb == "RCPT" && d.n > 1 && d.count("RCPT") == n {
				worn.Add(1)
				return says + drop
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections = RCPT, 2 })
		wantSays(t, p, "nobody@d.test", policy.No)
		for _, got := range askAtOnce(t, p, "stranger%d@d.test", 40) {
			if got.Says == policy.Yes {
				t.Error(got)
			}
		}
		_, refusals = p.cfg.learnt.budget.now()
		said = worn.Load()
	})
	return refusals, said
}

// Too many errors, in words that name no address: in a pipe, too, the next connections are
// used for less. Two that are open already may run into it.
func TestABudgetIsLearntInAPipe(t *testing.T) {
	for _, says := range []string{"554 Too many errors", "554 5.5.3 too many recipients", "550 5.7.0 Too many unknown users", "421 4.7.0 too many errors"} {
		if refusals, said := wornAt(t, 5, says); refusals > 4 || said > 2 {
			t.Errorf("%s: %d refusals a connection, and it was said %d times", says, refusals, said)
		}
	}
}

// What a host says to the first question of a connection is no matter of its wear.
func TestNoBudgetIsLearntFromTheFirstQuestionOfAPipe(t *testing.T) {
	if refusals, said := wornAt(t, 1, "554 Too many errors"); refusals < firstRefusals || said == 0 {
		t.Errorf("%d refusals a connection, and it was said %d times", refusals, said)
	}
}
