package main

import (
	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/check"
)

func checkCommand(c *common) *cobra.Command {
	var trace, asDaemon bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Look at the configuration, the hosts and Postfix's side, and say what to do",
		Long: `Print a line for each thing looked at: ok, note or FAIL, what it is, and what to
do about it. Exit status: 0, 1 if a line says FAIL, 78 for a bad configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asDaemon {
				if !check.AsDaemon(c.out, c.file) {
					return exit{status: exitProblem}
				}
				return nil
			}
			cfg, err := c.load()
			if err != nil {
				if who := check.Unusable(cmd.Context(), c.file); who != "" {
					complain(c.err, "%s", who)
				}
				return err
			}
			switch fine, err := check.All(cmd.Context(), c.out, c.file, cfg, trace); {
			case err != nil:
				return exit{exitConfig, err}
			case !fine:
				return exit{status: exitProblem}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&trace, "trace", false, "print the dialogue with each host, secrets masked")
	cmd.Flags().BoolVar(&asDaemon, "as-daemon", false, "look at the files alone; check runs this as the daemon's user")
	_ = cmd.Flags().MarkHidden("as-daemon")
	return cmd
}
