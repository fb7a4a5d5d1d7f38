package probe

import (
	"net"
	"strings"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// A host that is not even refused by the network costs connect_timeout once, all who
// ask at that moment together; after that nobody waits for it.
func TestConnectThatHangsCostsItsTimeOnce(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	addr := realhost.Silent(t)
	p := ofHost(t, &fakeHost{addr: addr}, func(c *Config) {
		c.ConnectTimeout, c.Connections = timeout, 5
	})
	began := time.Now()
	answers := make(chan policy.Answer)
	for range 20 {
		go func() { answers <- p.Ask(t.Context(), address(t, "anna@d.test")) }()
	}
	for range 20 {
		if got := <-answers; got.Says != policy.Unsure {
			t.Errorf("%s %q", got.Says, got.Reply)
		}
	}
	if took := time.Since(began); took < timeout || took > 3*timeout {
		t.Errorf("20 who asked at once were answered after %v", took)
	}
	began = time.Now()
	for range 1000 { // while it is tried in the background
		if got := wantSays(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, errDown.Error()+" since ") {
			t.Fatalf("why %q", got.Why)
		}
	}
	if took := time.Since(began); took > 100*timeout { // 1000 of them if each had waited
		t.Errorf("1000 questions took %v", took)
	}
}

// A port on which nobody listens is known at once.
func TestHostThatRefusesConnections(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	p := ofHost(t, &fakeHost{addr: addr})
	for range 1000 {
		if got := wantSays(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, "refused") {
			t.Fatalf("why %q", got.Why)
		}
	}
}
