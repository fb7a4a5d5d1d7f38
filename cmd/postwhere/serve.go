package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/config"
)

func serveCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: SIGHUP reloads the configuration, SIGTERM drains",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.serve(cmd.Context())
		},
	}
}

// serve runs the daemon until SIGTERM, SIGINT or the end of ctx.
func (c *common) serve(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	// The reader of our log may go, the journal say: else Go ends the program.
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)

	cfg, err := c.load()
	if err != nil {
		return err
	}
	d := newDaemon(newMaillog(c.err))
	if d.inherited, err = inherit(activation.Files(true)); err != nil {
		d.log.Warn("systemd has handed over what cannot be listened on", "why", err.Error())
	}
	if err := d.adopt(cfg); err != nil {
		return exit{exitConfig, err}
	}
	d.log.Info("started", "version", programVersion(), "configuration", c.file, "domains", len(cfg.Domain))
	m := manager{d.log}
	m.ready(statusOf(len(cfg.Domain)))
	defer m.watch(d)()
	for {
		select {
		case <-hangup:
			m.reloading()
			m.ready(d.reload(c.file))
		case <-ctx.Done():
			stop() // a second signal ends the program at once
			m.stopping()
			return d.end()
		}
	}
}

// reload takes over a changed configuration. A bad one changes nothing. It returns
// how the daemon is then.
func (d *daemon) reload(file string) (status string) {
	cfg, err := config.Load(file)
	if err == nil {
		err = d.adopt(cfg)
	}
	if err != nil {
		d.log.Error("reload failed, everything stays as it was", "why", err.Error())
		return statusFailed(err)
	}
	d.log.Info("reloaded", "configuration", file, "domains", len(cfg.Domain))
	return statusOf(len(cfg.Domain))
}

// end drains the daemon.
func (d *daemon) end() error {
	d.log.Info("draining")
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	if err := d.shutdown(ctx); err != nil {
		d.log.Warn("not all requests could be answered", "why", err.Error())
		return exit{exitProblem, err}
	}
	d.log.Info("stopped")
	return nil
}
