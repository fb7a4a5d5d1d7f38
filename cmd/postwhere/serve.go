package main

import (
	"errors"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/daemon"
)

func serveCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon: SIGHUP reloads the configuration, SIGTERM drains",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := daemon.Serve(cmd.Context(), c.file, programVersion(), c.err)
			var unstarted daemon.StartError
			switch {
			case errors.As(err, &unstarted):
				return exit{exitConfig, err}
			case err != nil:
				return exit{exitProblem, err}
			}
			return nil
		},
	}
}
