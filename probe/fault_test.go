package probe

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// faultyConn is a connection that a fault of ours hits when it is read.
type faultyConn struct {
	net.Conn
	faults *atomic.Int32 // how many are to come
}

func (c faultyConn) Read(b []byte) (int, error) {
	if c.faults.Add(-1) >= 0 {
		panic("a fault")
	}
	return c.Conn.Read(b)
}

// Faults in goroutines that no asker waits for: no question is lost, no mailbox
// denied, the program lives, and the next questions are answered.
func TestAFaultInACrowdIsNoNoAndNoEnd(t *testing.T) {
	for faults := range int32(12) {
		t.Run(fmt.Sprint(faults+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := crowdHost(nil)
				var left atomic.Int32
				p := ofHost(t, h, func(c *Config) {
					c.Method, c.Connections, c.ReplyTimeout = RCPT, 4, 10*time.Second
					c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
						conn, err := h.dial(ctx, network, address)
						return faultyConn{conn, &left}, err
					}
				})
				wantSays(t, p, "nobody@d.test", policy.No)
				left.Store(faults + 1)
				var asking sync.WaitGroup
				for i := range 40 {
					asking.Go(func() {
						defer func() { _ = recover() }() // as the search does
						if got := ask(t, p, fmt.Sprintf("anna%d@d.test", i)); got.Says == policy.No {
							t.Errorf("anna%d: no: %s", i, got.Why)
						}
					})
				}
				begun := time.Now()
				asking.Wait()
				if took := time.Since(begun); took >= patience {
					t.Errorf("it took %s", took)
				}
				left.Store(0)
				time.Sleep(pipeRest) // the host is tried again, pipes are used again
				wantEach(t, askAtOnce(t, p, "bert%d@d.test", 40), policy.No)
				wantEach(t, askAtOnce(t, p, "annabert%d@d.test", 40), policy.Yes)
			})
		})
	}
}
