package probe

import (
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
