package control

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// searcherFunc is how a daemon looks an address up.
type searcherFunc func(ctx context.Context, r policy.Request) (policy.Finding, error)

// searching is a daemon that is asked nothing else.
type searching struct {
	Daemon
	search searcherFunc
}

func (s searching) Search(ctx context.Context, r policy.Request) (policy.Finding, error) {
	return s.search(ctx, r)
}

// serveControl serves a control socket until the test ends, and returns a client.
func serveControl(t *testing.T, f searcherFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(searching{search: f}, slog.New(slog.NewTextHandler(testbed.Log(t), nil)))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return clientOf(t, path)
}

func clientOf(t *testing.T, path string) *Client {
	t.Helper()
	cfg := config.Default()
	cfg.Listen.Control = []config.Listener{{Network: "unix", Address: path}}
	c := NewClient(cfg)
	t.Cleanup(c.Close)
	return c
}

func TestControlCarriesTheAddressAsItIs(t *testing.T) {
	for _, address := range []string{"anna@example.com", `"a b&c=d"@example.com`, "a+b%20c#d@example.com", "jörg@bücher.example", "x?y;z@example.com"} {
		c := serveControl(t, func(_ context.Context, r policy.Request) (policy.Finding, error) {
			if r.Recipient != address || r.Face != "control" {
				t.Errorf("asked for %q by %q", r.Recipient, r.Face)
			}
			return policy.Finding{Why: "because"}, nil
		})
		r, err := c.Query(t.Context(), address)
		if err != nil || r.Address != address || r.Verdict != "defer" || r.Why != "because" {
			t.Errorf("%q: %+v, %v", address, r, err)
		}
	}
}

func TestControlTellsAFault(t *testing.T) {
	c := serveControl(t, func(context.Context, policy.Request) (policy.Finding, error) {
		return policy.Finding{}, errors.New("internal fault: oops")
	})
	_, err := c.Query(t.Context(), "anna@example.com")
	if want := "the daemon says 500 Internal Server Error: internal fault: oops"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestControlWithoutADaemon(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "dead"))
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for _, name := range []string{"missing", "dead", "none/missing"} {
		if _, err := clientOf(t, filepath.Join(dir, name)).Query(t.Context(), "anna@example.com"); !errors.Is(err, ErrNoDaemon) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if NewClient(&config.Config{}) != nil {
		t.Error("a client of nobody")
	}
}

// A daemon that was stopped, or hangs, does not hold up who asks it for ever.
func TestControlDoesNotWaitForADaemonThatIsSilent(t *testing.T) {
	c := serveControl(t, func(ctx context.Context, _ policy.Request) (policy.Finding, error) {
		<-ctx.Done()
		return policy.Finding{}, ctx.Err()
	})
	c.patience = 1
	_, err := c.Query(t.Context(), "anna@example.com")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, ErrNoDaemon) {
		t.Errorf("got %v", err)
	}
}
