package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"postwhere/policy"
)

// selfQuestion is asked by the daemon itself, to see whether it answers. Nobody has
// the domain, RFC 6761 section 6.4, so it costs no host anything.
const selfQuestion = "watchdog@postwhere.invalid"

// manager tells systemd how the daemon fares, by sd_notify(3). Where nobody wants to
// know ($NOTIFY_SOCKET is not set) it does nothing. It may be used concurrently.
type manager struct {
	log *slog.Logger
}

func (m manager) tell(states ...string) {
	if _, err := sd.SdNotify(false, strings.Join(states, "\n")); err != nil {
		m.log.Warn("systemd cannot be told how the daemon fares", "why", err.Error())
	}
}

// ready says that the daemon serves, and what: after its start and after a reload.
func (m manager) ready(status string) { m.tell(sd.SdNotifyReady, status) }

// reloading says that a reload has begun, and when, which is how systemd knows that it
// is the one that was asked for.
func (m manager) reloading() {
	states := []string{sd.SdNotifyReloading}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err == nil {
		states = append(states, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/int64(time.Microsecond)))
	}
	m.tell(states...)
}

// stopping says that the daemon drains.
func (m manager) stopping() { m.tell(sd.SdNotifyStopping, "STATUS=Draining") }

// statusOf is what `systemctl status` shows of a daemon that runs.
func statusOf(domains int) string {
	if domains == 1 {
		return "STATUS=Looking after 1 domain"
	}
	return fmt.Sprintf("STATUS=Looking after %d domains", domains)
}

// statusFailed is what it shows after a reload that has changed nothing.
func statusFailed(why error) string {
	return "STATUS=Reload failed, everything is as it was: " + inALine(why)
}

// watch tells systemd again and again that the daemon works, if it wants to know. It
// says nothing while the daemon does not: then systemd ends it and starts another.
// It goes on until end is called, which waits for it unless the daemon hangs.
func (m manager) watch(d *Daemon) (end func()) {
	limit, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("systemd's watchdog cannot be understood, and is told nothing", "why", err.Error())
	}
	if err != nil || limit == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		m.watchdog(ctx, limit, d.works)
	}()
	return func() {
		cancel()
		select {
		case <-watching:
		case <-time.After(limit):
		}
	}
}

// watchdog is watch for a daemon of which works tells whether it does, and a limit
// that systemd waits for the next word. It returns when ctx has ended.
func (m manager) watchdog(ctx context.Context, limit time.Duration, works func(context.Context) error) {
	// Half of it is what sd_watchdog_enabled(3) recommends; a busy machine may be late.
	tick := time.NewTicker(limit / 3)
	defer tick.Stop()
	for {
		if err := works(ctx); err == nil {
			m.tell(sd.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			m.log.Error("the daemon does not answer itself, and does not tell systemd that it works", "why", err.Error())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// works puts a question to the daemon as a face would, and looks at its memory. It
// does not return while one of their locks is held for ever.
func (d *Daemon) works(ctx context.Context) error {
	f, err := d.Search(ctx, policy.Request{Recipient: selfQuestion, Face: "watchdog", Door: true})
	switch {
	case err != nil:
		return err
	case f.Verdict != policy.Pass:
		return fmt.Errorf("asked about %s, it says %v", selfQuestion, f.Verdict)
	}
	d.memory.Len()
	return nil
}
