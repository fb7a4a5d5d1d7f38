package main

import (
	"context"
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

func hostsCommand(c *common) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "hosts",
		Short: "Print how the running daemon sees each host",
		Long: `Print HOST<TAB>STATE<TAB>NUMBERS<TAB>CALIBRATION for each host of the running
daemon. The state is up, down or drained, and since when and why, or not asked
yet; and of which domains it denies mailboxes that it had. The numbers are connections=OPEN/IN USE/LIMIT; the VRFYs and refusals that
one connection is used for; whether the host is far away; and its answers since
the daemon was started or reloaded. The calibration says for each domain by which
method the host is asked, how it refuses an address that nobody has, and what is
wrong with that. Exit status: 0, 69 without a daemon, 78 for a bad configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.hosts(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object a line")
	return cmd
}

func (c *common) hosts(ctx context.Context, asJSON bool) error {
	client, err := c.mustControl()
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.Hosts(ctx)
	if err != nil {
		return c.unanswered(err)
	}
	out := json.NewEncoder(c.out)
	out.SetEscapeHTML(false) // replies are full of <>
	for _, r := range all {
		if asJSON {
			err = out.Encode(r)
		} else {
			_, err = io.WriteString(c.out, r.Line()+"\n")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
