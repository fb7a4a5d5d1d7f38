package probe

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"postwhere/policy"
)

// patience is how long a test waits for what takes milliseconds: it only passes
// when something is broken.
const patience = 30 * time.Second

// ofHost makes a Prober of a fake host, which is closed with the test. change may
// change its configuration.
func ofHost(t testing.TB, h *fakeHost, change ...func(*Config)) *Prober {
	t.Helper()
	cfg := Config{
		Name: "mail1", Endpoint: Endpoint{Network: "tcp", Address: h.addr}, Helo: "postwhere-test.front.test", Connections: 1,
		ConnectTimeout: patience, ReplyTimeout: patience, Log: slog.New(slog.DiscardHandler),
	}
	if h.addr == "" {
		cfg.dial = h.dial
	}
	for _, f := range change {
		f(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Close()
		if h.addr == "" {
			h.conns.Wait() // it is in the test's bubble, and may be asleep
		}
	})
	return p
}

func address(t testing.TB, s string) policy.Address {
	t.Helper()
	a, err := policy.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ask asks about an address, which is at d.test if it has no domain.
func ask(t testing.TB, p *Prober, s string) policy.Answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return p.Ask(ctx, address(t, s))
}

// wantSays asks and fails the test if that is not the answer.
func wantSays(t testing.TB, p *Prober, s string, want policy.Says) policy.Answer {
	t.Helper()
	got := ask(t, p, s)
	if got.Says != want {
		t.Errorf("%s: %s (%s %q %s), want %s", s, got.Says, got.Method, got.Reply, got.Why, want)
	}
	if got.Says == policy.Unsure && got.Why == "" {
		t.Errorf("%s: unsure, and nobody knows why", s)
	}
	if got.Host != "mail1" || got.At.IsZero() {
		t.Errorf("%s: answer of %q at %v", s, got.Host, got.At)
	}
	return got
}
