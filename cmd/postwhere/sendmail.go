package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/attach"
)

func sendmailCommand(c *common) *cobra.Command {
	var mapOnly bool
	cmd := &cobra.Command{
		Use:   "sendmail",
		Short: "Print the sendmail.mc lines for this configuration",
		Long: `Print what attaches postwhere to the Sendmail of this machine, for a file that the
last line of its sendmail.mc includes. Nothing is changed. Sendmail must be built with
SOCKETMAP and MILTER, as distributions do ("sendmail -d0.1 -bv root" lists both).`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			text, err := attach.SendmailLines(cfg, mapOnly)
			if err != nil {
				return exit{exitConfig, err}
			}
			_, err = fmt.Fprint(c.out, text)
			return err
		},
	}
	cmd.Flags().Bool("milter", true, "a milter asks at the door, the map routes")
	cmd.Flags().BoolVar(&mapOnly, "map-only", false, "the map alone says every verdict")
	cmd.MarkFlagsMutuallyExclusive("milter", "map-only")
	return cmd
}
