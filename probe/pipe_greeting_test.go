package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// twoHosts are two behind one name, of which the one at the first or the second connection
// refuses everybody, in the words in which the other refuses strangers.
type twoHosts struct {
	distantHost
	broken int32
}

func (h *twoHosts) dial(context.Context, string, string) (net.Conn, error) {
	time.Sleep(roundTrip)
	here, near := net.Pipe()
	far, there := net.Pipe()
	n := h.sessions.Add(1)
	h.running.Go(func() { h.carry(near, far) })
	h.running.Go(func() { h.carryBack(far, near) })
	h.running.Go(func() { h.serve(there, n) })
	return here, nil
}

func (h *twoHosts) serve(conn net.Conn, n int32) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewScanner(conn)
	_, _ = fmt.Fprintf(conn, "220 fake%d.test ESMTP\r\n", n)
	for in.Scan() {
		said, _ := h.reply(in.Text())
		if mailbox, ok := strings.CutPrefix(in.Text(), "RCPT TO:"); ok && (n == h.broken || !strings.HasPrefix(mailbox, "<anna")) {
			said = "550 5.1.0 " + mailbox + ": no such user"
		}
		if _, err := io.WriteString(conn, said+"\r\n"); err != nil || strings.HasPrefix(said, "221") {
			return
		}
	}
}

// Two connections are about to be answered, one to each of two hosts behind one name. A
// question that goes by one of them is not read by how the other refuses.
func TestAReplyIsReadByHowTheHostThatGaveItRefuses(t *testing.T) {
	for try := range int32(8) {
		broken := try % 2 // either may be the first that is asked
		synctest.Test(t, func(t *testing.T) {
			h := &twoHosts{broken: 1 + broken}
			p := ofHost(t, &fakeHost{}, func(c *Config) { c.Method, c.Connections, c.dial = RCPT, 2, h.dial })
			p.cfg.learnt.pace.usual = [2]time.Duration{roundTrip, roundTrip}
			for n := range int32(2) {
				if err := p.openAhead(t.Context()); err != nil {
					t.Fatal(err)
				}
				p.calibrations.put(calibrationKey{"d.test", fmt.Sprintf("220 fake%d.test ESMTP", 1+n), RCPT}, Calibration{
					Method: RCPT, Tells: true, Accepts: n != broken, At: time.Now(), Nonsense: "nobody@d.test",
					Refusal: policy.Reply{Code: 550, Enhanced: "5.1.0", Text: "<nobody@d.test>: no such user"},
				})
			}
			p.asking.Add(10) // a crowd
			defer p.asking.Add(-10)
			var asking sync.WaitGroup
			for range 2 { // one by each connection
				asking.Go(func() { ask(t, p, "stranger@d.test") })
			}
			time.Sleep(roundTrip * 4 / 5)
			p.crowd.mu.Lock()
			open := len(p.crowd.open)
			p.crowd.mu.Unlock()
			if open != 2 {
				t.Errorf("%d connections are asked over, want 2", open)
			}
			if got := ask(t, p, "anna@d.test"); got.Says == policy.No {
				t.Errorf("anna: %s %q", got.Says, got.Reply)
			}
			asking.Wait()
			p.Close()
			h.running.Wait()
		})
	}
}
