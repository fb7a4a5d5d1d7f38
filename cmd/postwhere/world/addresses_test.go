package world

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

func TestAddressInTheConfigurationIsTheHosts(t *testing.T) {
	for endpoint, want := range map[string]string{
		"smtp:inet:192.0.2.3:25":          "192.0.2.3",
		"lmtp:192.0.2.3":                  "192.0.2.3",
		"minger:192.0.2.3":                "192.0.2.3",
		"smtp:inet:[2001:db8::1]:25":      "2001:db8::1",
		"smtp:inet:[::ffff:192.0.2.3]:25": "192.0.2.3",
	} {
		h := newHostAddresses(endpoint)
		h.lookUp(t.Context(), nil) // nobody is asked
		if !h.has(netip.MustParseAddr(want)) || h.has(netip.MustParseAddr("192.0.2.4")) {
			t.Errorf("%s has not just %s", endpoint, want)
		}
	}
	if h := newHostAddresses("lmtp:unix:/run/lmtp"); h.name != "" || h.has(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("a socket has addresses: %q", h.name)
	}
}

// addressBook is a resolver that has addresses of names, or fails.
type addressBook struct {
	mu    sync.Mutex
	names map[string]string
	asked chan string
}

func (b *addressBook) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	select {
	case b.asked <- host:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.names[host] == "" {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{netip.MustParseAddr(b.names[host])}, nil
}

func (b *addressBook) set(host, address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.names[host] = address
}

func TestAddressesAreLookedUpInTheBackgroundAndFollowed(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	_, port, err := net.SplitHostPort(mail1.Address)
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWorld(t, `
[[domain]]
name  = "example.com"
hosts = ["mail1"]
[host.mail1]
probe = "localhost:`+port+`"
[mx]
refresh = "1ms"
`)
	book := &addressBook{names: map[string]string{"localhost": "::ffff:192.0.2.7"}, asked: make(chan string)}
	w.addressResolver = book
	passes := func(client string) bool {
		f, err := w.Searcher.Search(t.Context(), policy.Request{Recipient: "nobody@example.com", State: "VRFY", Client: client})
		return err == nil && f.Verdict == policy.Pass
	}
	if passes("192.0.2.7") {
		t.Error("an address is known that was not looked up")
	}
	w.Start()
	// Several look-ups may be under way: some later one has begun after a change.
	until := func(client string, want bool) {
		t.Helper()
		for range 100 {
			if host := <-book.asked; host != "localhost" {
				t.Fatalf("looked up %s", host)
			}
			if passes(client) == want {
				return
			}
		}
		t.Errorf("%s passes: want %v", client, want)
	}
	until("192.0.2.7", true)
	book.set("localhost", "2001:db8::7")
	until("2001:db8::7", true)
	until("192.0.2.7", false)
	book.set("localhost", "")
	for range 3 {
		<-book.asked
	}
	if !passes("2001:db8::7") {
		t.Error("what was known is forgotten as it cannot be looked up")
	}
}

func TestNamesInTheSettingsOfAHost(t *testing.T) {
	w := newTestWorld(t, `
[[domain]]
name  = "example.com"
hosts = ["mail1.example.net:2525", "box"]
host_text = true
unsure = "pass"
[host.box]
probe = "node7.internal"
last_resort = true
`)
	hosts := w.Domains[0].Hosts()
	if !w.Domains[0].HostText || w.Domains[0].NoLife != 5*time.Minute || !w.Domains[0].PassUnsure || hosts[0].LastResort || !hosts[1].LastResort {
		t.Error("the settings do not reach the domain")
	}
	for i, want := range []string{"mail1.example.net", "node7.internal"} {
		found := false
		for _, name := range hosts[i].Names {
			found = found || name == want
		}
		if !found {
			t.Errorf("%s is called %q, want %s among them", hosts[i].Name, hosts[i].Names, want)
		}
	}
}
