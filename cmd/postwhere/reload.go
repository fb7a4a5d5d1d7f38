package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/maillog"
)

func reloadCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Have the running daemon read its configuration again",
		Long: `Have the running daemon read its configuration again, as SIGHUP does, and say by
which file it runs now. One that is refused changes nothing. Exit status: 0, 1 if
the daemon has refused it, 69 without a daemon, 78 for a bad configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.reload(cmd.Context()) },
	}
}

func (c *common) reload(ctx context.Context) error {
	client, err := c.mustControl()
	if err == nil {
		defer client.Close()
		var now control.Standing
		if now, err = client.Reload(ctx); err == nil {
			_, err = fmt.Fprintf(c.out, "%s: the daemon runs by it now\n", maillog.Printable(now.File))
			return err
		}
		var refused control.DaemonError
		if errors.As(err, &refused) && refused.WrongCall {
			return exit{exitProblem, fmt.Errorf("refused, the daemon goes on by the configuration that it has: %s", refused.Text)}
		}
		err = c.unanswered(err)
	}
	// By a bad configuration, or one that has another control socket than the last, the
	// daemon cannot be found. Systemd knows it, and its log will say what became of it.
	pid, _ := strconv.Atoi(os.Getenv("MAINPID"))
	if pid < 2 || syscall.Kill(pid, syscall.SIGHUP) != nil {
		return err
	}
	var e exit
	if errors.As(err, &e) && e.status == exitConfig {
		return exit{exitConfig, fmt.Errorf("%w; the daemon goes on by the configuration that it has", err)}
	}
	complain(c.err, "%v; the daemon is told by SIGHUP: its log says what became of it", err)
	return nil
}
