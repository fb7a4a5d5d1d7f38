package bench

import (
	"sync"
	"testing"
)

// deliverTo has each host take as many messages at once for its mailboxes as it has
// connections: the hosts of a benchmark are in service, and Postfix's processes for a
// message's beginning (cleanup) are there.
func deliverTo(b *testing.B, addrs []string, connections int) {
	b.Helper()
	for host, addr := range addrs {
		var accepted, done sync.WaitGroup
		accepted.Add(connections)
		for range connections {
			done.Go(func() {
				c := &rawClient{b: b, addr: addr}
				c.open()
				defer c.quit()
				for _, line := range []string{"MAIL FROM:<>", "RCPT TO:<" + benchUser(host, 0) + "@example.com>"} {
					c.write(line + "\r\n")
					c.read()
				}
				accepted.Done()
				accepted.Wait() // all of them
				for _, line := range []string{"DATA", "Subject: in service\r\n\r\n."} {
					c.write(line + "\r\n")
					c.read()
				}
			})
		}
		done.Wait()
	}
}
