package daemon

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
)

func TestWatchdogIsToldNothingWhileTheDaemonHangs(t *testing.T) {
	n := testbed.ListenForNotes(t)
	t.Setenv("NOTIFY_SOCKET", n.Path)
	for name, tt := range map[string]struct {
		works func(context.Context) error
		pings int
	}{
		"works":   {func(context.Context) error { return nil }, 7}, // at once, and 6 times in a minute
		"faulty":  {func(context.Context) error { return errors.New("broken") }, 0},
		"hanging": {func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Second)
				defer cancel()
				manager{maillog.New(io.Discard).Program()}.watchdog(ctx, 30*time.Second, tt.works)
			})
			pings := 0
			for n.Next(t, 10*time.Millisecond) == "WATCHDOG=1" {
				pings++
			}
			if pings != tt.pings {
				t.Errorf("%d pings, want %d", pings, tt.pings)
			}
		})
	}
}

func TestDaemonDoesNotWorkWhileItsLocksAreHeld(t *testing.T) {
	d, r := startDaemon(t, testbed.SiteText(testbed.StartHost(t, testbed.Having("anna@example.com"))))
	if err := d.works(t.Context()); err != nil {
		t.Error(err)
	}
	d.mu.Lock()
	works := make(chan error, 1)
	go func() { works <- d.works(t.Context()) }()
	select {
	case err := <-works:
		t.Errorf("it says %v, though nobody can be answered", err)
	case <-time.After(50 * time.Millisecond):
	}
	d.mu.Unlock()
	if err := <-works; err != nil {
		t.Error(err)
	}
	if r.Logged("watchdog@") || strings.Contains(selfQuestion, "example") {
		t.Error("the daemon's own question is in the log")
	}
}
