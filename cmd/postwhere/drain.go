package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"
)

func drainCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "drain HOST…",
		Short: "Take hosts out of the asking",
		Long: `Take hosts of the running daemon out of the asking: each is unsure at once, no
connection is opened to it, and those at rest are closed. Nobody is refused who
might have a mailbox there, and mail for mailboxes that are known to be there
still goes there. A reload leaves the hosts drained, a new start of the daemon
does not. Exit status: 0, 64 for a host that there is not, 69 without a daemon,
78 for a bad configuration.`,
		ValidArgsFunction: offer(c.hostNames),

		RunE: func(cmd *cobra.Command, hosts []string) error { return c.drain(cmd.Context(), hosts, true) },
	}
}

func undrainCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "undrain HOST…",
		Short: "Take drained hosts back into the asking",
		Long: `Take hosts of the running daemon back into the asking. Exit status: 0, 64 for a
host that there is not, 69 without a daemon, 78 for a bad configuration.`,
		ValidArgsFunction: offer(c.drainedNames),

		RunE: func(cmd *cobra.Command, hosts []string) error { return c.drain(cmd.Context(), hosts, false) },
	}
}

func (c *common) drain(ctx context.Context, hosts []string, drained bool) error {
	what := map[bool]string{true: "drain", false: "undrain"}[drained]
	if len(hosts) == 0 {
		return usage("%s: want at least one host, as `postwhere hosts` names it", what)
	}
	client, err := c.mustControl()
	if err != nil {
		return err
	}
	defer client.Close()
	done, err := client.Drain(ctx, what, hosts)
	if err != nil {
		return c.unanswered(err)
	}
	for _, one := range done {
		if _, err := io.WriteString(c.out, one.String()+"\n"); err != nil {
			return err
		}
	}
	return nil
}
