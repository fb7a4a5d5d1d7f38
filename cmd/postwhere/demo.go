package main

import (
	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/demo"
)

func demoCommand(c *common) *cobra.Command {
	var stay bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Three mail hosts, the daemon and a tour of every verdict, in one process",
		Long: `Start three small mail hosts and the daemon on the loopback interface, and go
through every verdict. Nothing is installed and no root is needed. Exit status:
0 if every verdict was as expected, else 1.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := demo.Run(cmd.Context(), c.out, stay); err != nil {
				return exit{exitProblem, err}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&stay, "stay", false, "keep all of it up afterwards, to try it by hand, until Ctrl-C")
	return cmd
}
