package probe

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// growing makes a host like crowdHost that has a further mailbox each second, anna1 after the
// first. Over a connection it says what it knew when that was opened, as Postfix does, and
// takes so long for each reply about late.
func growing(late time.Duration) *fakeHost {
	begun := time.Now()
	var mu sync.Mutex
	knows := make(map[*dialogue]int)
	return crowdHost(func(d *dialogue, verb, arg, said string) string {
		mu.Lock()
		if verb == "GREETING" {
			knows[d] = int(time.Since(begun) / time.Second)
		}
		known := knows[d]
		mu.Unlock()
		local, _, _ := strings.Cut(strings.TrimPrefix(arg, "TO:<"), "@")
		if verb == "RCPT" && local == "late" {
			time.Sleep(late)
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(local, "anna")); verb == "RCPT" && err == nil && n > known {
			return fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown", strings.Trim(strings.TrimPrefix(arg, "TO:"), "<>"))
		}
		return said
	})
}

// A mailbox is never denied that is older than what a host says may be.
func TestNoMailboxIsDeniedThatIsOlderThanAConnectionMayBe(t *testing.T) {
	const mostAge = 4 * time.Second
	for _, crowd := range []bool{false, true} {
		t.Run(fmt.Sprint("crowd ", crowd), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := ofHost(t, growing(0), func(c *Config) { c.Method, c.Connections, c.MostAge = RCPT, 2, mostAge })
				wantSays(t, p, "nobody@d.test", policy.No)
				if crowd {
					p.asking.Add(10)
					defer p.asking.Add(-10)
				}
				denied := 0
				for n := 1; n <= 60; n++ {
					time.Sleep(time.Second)
					if got := ask(t, p, fmt.Sprintf("anna%d@d.test", n)); got.Says == policy.No {
						denied++
					}
					if n > 6 { // asking took a second at most
						wantSays(t, p, fmt.Sprintf("anna%d@d.test", n-6), policy.Yes)
					}
				}
				if denied == 0 {
					t.Error("the host knew each mailbox at once: that is no test")
				}
			})
		})
	}
}

// What grows too old while it is waited for is asked for again.
func TestANoThatGrowsTooOldIsAskedForAgain(t *testing.T) {
	for _, crowd := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			h := growing(3 * time.Second)
			p := ofHost(t, h, func(c *Config) { c.Method, c.MostAge = RCPT, 6*time.Second })
			wantSays(t, p, "nobody@d.test", policy.No)
			if crowd {
				p.asking.Add(10)
				defer p.asking.Add(-10)
			}
			time.Sleep(3 * time.Second)
			got := wantSays(t, p, "late@d.test", policy.No)
			if age := time.Since(got.At); age > 6*time.Second {
				t.Errorf("a no that is %s old", age)
			}
			if n := h.connections(); n < 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// It is no no any more if the asker's time is up when that turns out.
func TestANoThatHasGrownTooOldIsNoneForWhoseTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ofHost(t, growing(3*time.Second), func(c *Config) { c.Method, c.MostAge = RCPT, 4*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ctx = WithTrace(ctx, func(_ string, sent bool, line string) {
			if !sent && strings.HasPrefix(line, "550") {
				cancel()
			}
		})
		if got := p.Ask(ctx, address(t, "late@d.test")); got.Says != policy.Unsure {
			t.Errorf("%s, %s old", got.Says, time.Since(got.At))
		}
	})
}

// Connections that are too old when they are open carry no more than a question each, and are
// not opened in vain for a crowd.
func TestACrowdOfAHostThatTakesTooLongToGreetIsServed(t *testing.T) {
	const askers, questions = 3, 10
	synctest.Test(t, func(t *testing.T) {
		h := crowdHost(func(_ *dialogue, verb, _, said string) string {
			if verb == "GREETING" {
				time.Sleep(6 * time.Second)
			}
			return said
		})
		p := ofHost(t, h, func(c *Config) { c.Method, c.Connections, c.MostAge = RCPT, 5, 5*time.Second })
		wantSays(t, p, "nobody@d.test", policy.No)
		var asking sync.WaitGroup
		for i := range askers {
			asking.Go(func() {
				for n := range questions {
					ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
					got := p.Ask(ctx, address(t, fmt.Sprintf("stranger%d.%d@d.test", i, n)))
					cancel()
					if got.Says != policy.No {
						t.Errorf("asker %d, question %d: %s %s", i, n, got.Says, got.Why)
					}
				}
			})
		}
		asking.Wait()
		if n := h.connections(); n > 3*askers*questions {
			t.Errorf("%d connections for %d questions", n, askers*questions)
		}
	})
}
