package probe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// A real Postfix behind TLS, half a round trip away: what comes from it is torn anywhere, in
// the midst of records, and pipes are woken every millisecond. Each question is put once, and
// gets the reply that is its own.
func TestACrowdOfPostfixBehindTLS(t *testing.T) {
	t.Parallel()
	var boxes []string
	for i := range 200 {
		boxes = append(boxes, fmt.Sprintf("anna%d@d.test", i))
	}
	h := tlsConfig(newAuthority(t).certify(t, "mail.d.test", time.Hour), map[string]string{"smtpd_tls_security_level": "encrypt"}).
		MailHost(t, "d.test", boxes...)
	way := tornHost{chance: rand.New(rand.NewPCG(rand.Uint64(), 1))}
	p := ofRealHost(t, h, func(c *Config) {
		c.Method, c.Connections, c.Security = RCPT, 10, Security{Level: TLSEncrypt}
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			far, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			here, near := net.Pipe()
			way.running.Go(func() { way.carry(near, far) })
			way.running.Go(func() { way.carry(far, &tornConn{Conn: near, draw: way.draw, pause: roundTrip / 100}) })
			return &records{Conn: here, tears: &way.tears}, nil
		}
	})
	wantSays(t, p, "nobody@d.test", policy.No)
	done := make(chan struct{})
	way.running.Go(func() { wakeOften(p, done) })
	var asking sync.WaitGroup
	for i := range 40 {
		asking.Go(func() {
			for n := i; n < 400; n += 40 {
				if n%2 == 0 {
					wantSays(t, p, boxes[n/2], policy.Yes)
				} else {
					wantSays(t, p, fmt.Sprintf("stranger%d@d.test", n), policy.No)
				}
			}
		})
	}
	asking.Wait()
	close(done)
	p.Close()
	way.running.Wait()
	log := h.Log()
	for n := 1; n < 400; n += 2 {
		if times := strings.Count(log, fmt.Sprintf("<stranger%d@d.test>: Recipient address rejected", n)); times != 1 {
			t.Errorf("stranger%d was refused %d times", n, times)
		}
	}
	t.Logf("%d sessions with TLS; woken %d times within a record", encrypted(h), way.tears.torn.Load())
	if way.tears.torn.Load() == 0 {
		t.Error("no pipe was woken within a record")
	}
}
