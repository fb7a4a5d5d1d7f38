package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/attach"
)

// postfixRun is one run of the command.
type postfixRun struct {
	*common
	policy, milter, recipientMap, mapOnly, mesh bool // the way
	apply, undo, yes                            bool
}

func postfixCommand(c *common) *cobra.Command {
	r := &postfixRun{common: c}
	cmd := &cobra.Command{
		Use:   "postfix",
		Short: "Print the main.cf and master.cf lines for this configuration, as commands, or apply them",
		Long: `Print, as postconf(1) commands, what attaches postwhere to the Postfix of this
machine, or to that of MAIL_CONFIG. Nothing is changed unless --apply or --undo says
so: these show the difference first, and ask. What is attached in another way is
changed to the one that is named.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case r.undo:
				return r.takeBack(cmd.Context())
			case r.apply:
				return r.applyTo(cmd.Context())
			case r.yes:
				return usage("--yes is for --apply and --undo")
			}
			return r.print(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.policy, "policy", false, "ask at the door by check_policy_service, route from memory (default)")
	f.BoolVar(&r.milter, "milter", false, "ask at the door by smtpd_milters, route from memory")
	f.BoolVar(&r.recipientMap, "recipient-map", false, "ask at the door by relay_recipient_maps, route from memory")
	f.BoolVar(&r.mapOnly, "map-only", false, "the transport map alone says every verdict")
	f.BoolVar(&r.mesh, "mesh", false, "this machine is one of the hosts, too: --policy, and an inner door for its peers")
	f.BoolVar(&r.apply, "apply", false, "do it: show the difference, ask, keep a copy, and have Postfix read it")
	f.BoolVar(&r.undo, "undo", false, "take back what --apply has done, and nothing else")
	f.BoolVar(&r.yes, "yes", false, "do not ask")
	cmd.MarkFlagsMutuallyExclusive("policy", "milter", "recipient-map", "map-only", "mesh", "undo")
	cmd.MarkFlagsMutuallyExclusive("apply", "undo")
	return cmd
}

// way returns the attachment that was asked for.
func (r *postfixRun) way() attach.Way {
	switch {
	case r.milter:
		return attach.ByMilter
	case r.recipientMap:
		return attach.ByRecipientMap
	case r.mapOnly:
		return attach.ByMapOnly
	case r.mesh:
		return attach.ByMesh
	}
	return attach.ByPolicy
}

// print prints what there is to do.
func (r *postfixRun) print(ctx context.Context) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	text, err := attach.Commands(ctx, "", cfg, r.way())
	if err != nil {
		return exit{exitConfig, err}
	}
	_, err = fmt.Fprint(r.out, text)
	return err
}
