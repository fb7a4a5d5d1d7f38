package daemon

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
)

// StartError is why a daemon has not started: its configuration is none, or what that
// asks for is not to be had.
type StartError struct{ error }

// Unwrap returns what it is because of.
func (e StartError) Unwrap() error { return e.error }

// Serve runs a daemon by a configuration file until SIGTERM, SIGINT or the end of ctx.
// SIGHUP has it read the file again. What it says goes to log, its version first. The
// error is a StartError, or says what became of requests that could not be answered.
func Serve(ctx context.Context, file, version string, log io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	// The reader of our log may go, the journal say: else Go ends the program.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)

	begun := time.Now()
	cfg, err := config.Load(file)
	if err != nil {
		return StartError{err}
	}
	d := New(maillog.New(log))
	if d.inherited, err = inherit(activation.Files(true)); err != nil {
		d.log.Warn("systemd has handed over what cannot be listened on", "why", err.Error())
	}
	if err := d.Adopt(cfg); err != nil {
		return StartError{err}
	}
	d.stand(file, begun, nil)
	d.log.Info("started", "version", version, "configuration", file, "domains", len(cfg.Domain))
	m := manager{d.log}
	m.ready(statusOf(len(cfg.Domain)))
	defer m.watch(d)()
	for {
		select {
		case <-hangup:
			_ = d.reload(m, file) // the log has it
		case done := <-d.reloads:
			done <- d.reload(m, file)
		case <-ctx.Done():
			close(d.ending)
			stop() // a second signal ends the program at once
			m.stopping()
			return d.end()
		}
	}
}

// reload takes over a changed configuration. A bad one changes nothing, and the error
// says why.
func (d *Daemon) reload(m manager, file string) error {
	m.reloading()
	begun := time.Now()
	cfg, err := config.Load(file)
	if err == nil {
		err = d.Adopt(cfg)
	}
	d.stand(file, begun, err)
	if err != nil {
		d.log.Error("reload failed, everything stays as it was", "why", err.Error())
		m.ready(statusFailed(err))
		return err
	}
	d.log.Info("reloaded", "configuration", file, "domains", len(cfg.Domain))
	m.ready(statusOf(len(cfg.Domain)))
	return nil
}

// end drains the daemon.
func (d *Daemon) end() error {
	d.log.Info("draining")
	ctx, cancel := context.WithTimeout(context.Background(), DrainTime)
	defer cancel()
	if err := d.Shutdown(ctx); err != nil {
		d.log.Warn("not all requests could be answered", "why", err.Error())
		return err
	}
	d.log.Info("stopped")
	return nil
}
