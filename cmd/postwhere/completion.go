package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/control"
)

// completionWait is how long the daemon may take to name its hosts while somebody
// waits at the shell's prompt.
const completionWait = time.Second

func completionCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a completion script for a shell",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(cmd.ValidArgs, args[0]) {
				return usage("completion: want one of bash, zsh and fish")
			}
			return nil
		},
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "zsh":
				return root.GenZshCompletion(cmd.OutOrStdout())
			case "fish":
				return root.GenFishCompletion(cmd.OutOrStdout(), true)
			}
			return root.GenBashCompletionV2(cmd.OutOrStdout(), true)
		},
	}
}

// namesFor returns the names that may stand in a place of the command line.
type namesFor func(ctx context.Context) []string

// offer has the shell complete such names that begin as the word does, but for those
// that are there already, and no files. What cannot be found out is not offered: there is no place to say
// so.
func offer(names namesFor) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
		all := slices.DeleteFunc(names(cmd.Context()), func(name string) bool {
			return !strings.HasPrefix(name, word) || slices.Contains(args, name)
		})
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// offerFor is offer for what a flag takes.
func offerFor(cmd *cobra.Command, flag string, names namesFor) {
	_ = cmd.RegisterFlagCompletionFunc(flag, offer(names)) // an error: there is no such flag, or it has this already
}

// hostNames returns the running daemon's hosts, else those of the configuration.
func (c *common) hostNames(ctx context.Context) []string {
	var names []string
	if all, ok := c.reports(ctx); ok {
		for _, r := range all {
			names = append(names, r.Host)
		}
		return names
	}
	if cfg, err := c.load(); err == nil {
		names = slices.Sorted(maps.Keys(cfg.Host))
	}
	return names
}

// drainedNames returns the hosts that the running daemon does not ask.
func (c *common) drainedNames(ctx context.Context) []string {
	var names []string
	all, _ := c.reports(ctx)
	for _, r := range all {
		if r.State == control.HostDrained {
			names = append(names, r.Host)
		}
	}
	return names
}

// domainNames returns all names of the domains.
func (c *common) domainNames(context.Context) []string {
	var names []string
	if cfg, err := c.load(); err == nil {
		for _, d := range cfg.Domain {
			names = append(names, d.Name...)
		}
	}
	return names
}

// reports asks the daemon about its hosts; ok is false where none answers in time.
func (c *common) reports(ctx context.Context) (all []control.HostReport, ok bool) {
	client, err := c.mustControl()
	if err != nil {
		return nil, false
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, completionWait)
	defer cancel()
	all, err = client.Hosts(ctx)
	return all, err == nil
}
