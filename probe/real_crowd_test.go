package probe

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// questions notes which addresses are asked about, as the lines go out.
type questions struct {
	net.Conn
	mu    *sync.Mutex
	asked map[string]int
	quits *int // with the last questions, in one write
}

var (
	rcptLine     = regexp.MustCompile(`RCPT TO:<([^\r\n]*)>\r\n`)
	quitsAtOnce  = regexp.MustCompile(`RCPT TO:<[^\r\n]*>\r\nQUIT\r\n$`)
	crowdOfBoxes = func() (boxes []string) {
		for i := range 40 {
			boxes = append(boxes, fmt.Sprintf("anna%d@d.test", i))
		}
		return boxes
	}()
)

func (c *questions) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, line := range rcptLine.FindAllSubmatch(p, -1) {
		c.asked[string(line[1])]++
	}
	if quitsAtOnce.Match(p) {
		*c.quits++
	}
	return c.Conn.Write(p)
}

// Real hosts that are half a round trip away, asked by a crowd: with the last questions
// that a connection bears QUIT goes out in the same write. Each host answers what is before
// it, and each question is put once.
func TestACrowdOfRealHosts(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *realhost.Host{
		"Postfix": func(t testing.TB) *realhost.Host {
			return realhost.PostfixConfig{}.MailHost(t, "d.test", crowdOfBoxes...)
		},
		"Exim": func(t testing.TB) *realhost.Host {
			return realhost.Exim(t, realhost.EximConfig{Domains: "d.test", Mailboxes: crowdOfBoxes, RCPT: "deny message = 5.1.1 <$local_part@$domain>: User unknown\n  domains = d.test\n  !verify = recipient"})
		},
		"Sendmail": func(t testing.TB) *realhost.Host {
			return realhost.Sendmail(t, realhost.SendmailConfig{Domains: "d.test", Mailboxes: crowdOfBoxes})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCrowdOf(t, start(t))
		})
	}
}

func testCrowdOf(t *testing.T, h *realhost.Host) {
	var way distantHost
	var mu sync.Mutex
	asked, quits := make(map[string]int), 0
	p := ofRealHost(t, h, func(c *Config) {
		c.Method, c.Connections = RCPT, 6
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(roundTrip)
			far, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			here, near := net.Pipe()
			way.running.Go(func() { way.carry(near, far) })
			way.running.Go(func() { way.carry(far, near) })
			return &questions{here, &mu, asked, &quits}, nil
		}
	})
	wantSays(t, p, "nobody@d.test", policy.No)
	var askers sync.WaitGroup
	for i := range 40 {
		askers.Go(func() {
			for n := i; n < 400; n += 40 {
				wantSays(t, p, fmt.Sprintf("stranger%d@d.test", n), policy.No)
				if n%4 == 0 {
					wantSays(t, p, crowdOfBoxes[n/4%40], policy.Yes)
				}
			}
		})
	}
	askers.Wait()
	p.Close()
	way.running.Wait()
	mu.Lock()
	defer mu.Unlock()
	again := slices.DeleteFunc(slices.Collect(func(yield func(string) bool) {
		for n := range 400 {
			yield(fmt.Sprintf("stranger%d@d.test", n))
		}
	}), func(stranger string) bool { return asked[stranger] == 1 })
	t.Logf("QUIT %d times with the last questions", quits)
	if quits == 0 || len(again) > 0 {
		t.Errorf("QUIT went out %d times with the last questions, and these were not asked about once: %v", quits, again)
	}
}
