package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// newTestWorld builds a world until the test ends. It is not started.
func newTestWorld(t *testing.T, text string) *World {
	t.Helper()
	cfg, err := config.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	memory, err := cache.New(cfg.MemoryOptions())
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(t.Context(), cfg, memory, Past{}, nil, slog.New(slog.NewTextHandler(testbed.Log(t), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.Close(ctx)
	})
	return w
}

func namesOf(hosts []*policy.Host) string {
	var names []string
	for _, h := range hosts {
		names = append(names, h.Name)
	}
	return strings.Join(names, " ")
}

func (w *World) look(t *testing.T, recipient string) policy.Finding {
	t.Helper()
	f, err := w.Searcher.Search(t.Context(), policy.Request{Recipient: recipient, Face: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestHostOfTwoDomainsIsOne(t *testing.T) {
	w := newTestWorld(t, `
[[domain]]
name  = "example.com"
hosts = ["mail1", "mail2"]
[[domain]]
name  = "example.org"
hosts = ["mail2", "mail3"]
`)
	if w.Domains[0].Hosts()[1] != w.Domains[1].Hosts()[0] {
		t.Error("mail2 is two hosts: it would be asked over twice as many connections")
	}
	if len(w.hosts) != 3 {
		t.Errorf("%d hosts", len(w.hosts))
	}
}

// mxWorld is a world whose domain has its hosts by MX: mail1 and mail2 are there,
// and have anna and adam, and bert.
func mxWorld(t *testing.T) (*World, *stagedDNS) {
	t.Helper()
	mail1, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com", "adam@example.com")), testbed.StartHost(t, testbed.Having("bert@example.com"))
	w := newTestWorld(t, fmt.Sprintf(`
[[domain]]
name = "example.com"
[host.mail1]
probe = %q
[host.mail2]
probe = %q
[mx]
own_names = ["front"]
refresh = "1ms"
`, mail1.Address, mail2.Address))
	dns := newStagedDNS()
	w.resolver = dns
	return w, dns
}

func TestMXHostsAreFollowed(t *testing.T) {
	w, dns := mxWorld(t)
	w.Start()
	<-dns.asked
	if f := w.look(t, "anna@example.com"); f.Verdict != policy.Defer {
		t.Errorf("before the hosts are known: %v", f.Verdict)
	}
	wants := func(recipient string, want policy.Verdict, hosts string) {
		t.Helper()
		if got := namesOf(w.Domains[0].Hosts()); got != hosts {
			t.Errorf("hosts are %q, want %q", got, hosts)
		}
		if f := w.look(t, recipient); f.Verdict != want {
			t.Errorf("%s: %v because %q, want %v", recipient, f.Verdict, f.Why, want)
		}
	}
	dns.says([]string{"mail1."}, nil)
	wants("anna@example.com", policy.Deliver, "mail1")
	wants("bert@example.com", policy.Reject, "mail1")
	first := w.Domains[0].Hosts()[0]

	dns.says([]string{"Mail2.", "front.", "mail1."}, nil)
	wants("bert@example.com", policy.Deliver, "mail2 mail1")
	if w.Domains[0].Hosts()[1] != first {
		t.Error("mail1 was made anew though it was there all the time")
	}

	// Whatever DNS has to say but hosts changes nothing.
	for _, a := range []dnsAnswer{
		{nil, errors.New("server misbehaving")},
		{nil, nil},
		{[]string{"."}, nil},
		{[]string{"front."}, nil},
		{[]string{"mail1."}, errors.New("some records were broken")},
		{[]string{"mail1.", "mail 3."}, nil},
	} {
		dns.says(a.hosts, a.err)
		wants("anna@example.com", policy.Deliver, "mail2 mail1")
	}
}

// A host that MX no longer names is let go of: its connections, and what looks
// after them.
func TestHostThatMXNoLongerNamesIsLetGoOf(t *testing.T) {
	w, dns := mxWorld(t)
	w.Start()
	<-dns.asked
	dns.says([]string{"mail1."}, nil)
	mail1 := w.Domains[0].Hosts()[0]
	dns.says([]string{"mail2."}, nil)
	w.mu.Lock()
	if len(w.hosts) != 1 || w.hosts["mail2"] == nil {
		t.Errorf("hosts are %v", w.hosts)
	}
	w.mu.Unlock()
	ProberOf(mail1).Close() // returns when it is closed, whoever closes it
	a, err := policy.ParseAddress("anna@example.com")
	if err != nil {
		t.Fatal(err)
	}
	if answer := mail1.Prober.Ask(t.Context(), a); answer.Says != policy.Unsure {
		t.Errorf("a host that was let go of says %v", answer.Says)
	}
	dns.says([]string{"mail1."}, nil)
	if f := w.look(t, "adam@example.com"); f.Verdict != policy.Deliver {
		t.Errorf("after it is back: %v because %q", f.Verdict, f.Why)
	}
}

// Without a look-up that comes back there is nothing to hold up the end.
func TestWorldEndsDuringAnMXLookUp(t *testing.T) {
	w, dns := mxWorld(t)
	w.Start()
	<-dns.asked
}

func TestMXIsResolvedOnceForACommand(t *testing.T) {
	w, _ := mxWorld(t)
	lookups := 0
	w.resolver = lookupFunc(func(context.Context, string) ([]*net.MX, error) {
		lookups++
		return nil, errors.New("no name server")
	})
	if err := w.ResolveMX(t.Context(), "elsewhere.example"); err != nil || lookups != 0 {
		t.Errorf("a foreign domain: %v, %d look-ups", err, lookups)
	}
	if err := w.ResolveMX(t.Context(), "example.com"); err == nil {
		t.Error("no error without a name server")
	}
	if err := w.ResolveMX(t.Context(), "example.com"); err != nil || lookups != 1 {
		t.Errorf("the second time: %v, %d look-ups, want 1", err, lookups)
	}
	if f := w.look(t, "anna@example.com"); f.Verdict != policy.Defer || f.Why != "the domain's hosts are not known yet" {
		t.Errorf("%v because %q", f.Verdict, f.Why)
	}
}

// A host that MX names is drained by name: it stays so when MX does not name it for
// a while, and nobody is refused then either.
func TestHostByMXIsDrained(t *testing.T) {
	w, dns := mxWorld(t)
	w.past.Drained = &DrainedHosts{}
	w.Start()
	<-dns.asked
	dns.says([]string{"mail1.", "mail2."}, nil)
	wants := func(recipient string, want policy.Verdict) {
		t.Helper()
		if f := w.look(t, recipient); f.Verdict != want {
			t.Errorf("%s: %v because %q, want %v", recipient, f.Verdict, f.Why, want)
		}
	}
	wants("nobody@example.com", policy.Reject)
	w.past.Drained.Set([]string{"mail2"}, true)
	wants("nobody@example.com", policy.Defer)
	wants("bert@example.com", policy.Defer)
	wants("anna@example.com", policy.Deliver)
	dns.says([]string{"mail1."}, nil)
	dns.says([]string{"mail1.", "mail2."}, nil)
	wants("somebody@example.com", policy.Defer)
	w.past.Drained.Set([]string{"mail2"}, false)
	wants("stranger@example.com", policy.Reject)
}
