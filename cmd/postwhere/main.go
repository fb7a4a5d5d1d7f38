// Command postwhere finds the mail host of each recipient of a domain whose
// mailboxes are spread over many hosts, and tells Postfix. See postwhere(8).
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/config"
)

// Exit statuses, from sysexits.h where that has one. Of several addresses query
// exits with the largest.
const (
	exitDeliver = 0
	exitReject  = 1
	exitPass    = 2
	exitUsage   = 64
	exitNone    = 69 // there is no daemon, and the command is nothing without one
	exitDefer   = 75
	exitConfig  = 78
	exitOK      = 0
	exitProblem = 1
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}))
}

// streams are what a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// exit is an error that carries the program's exit status; its text, if there is
// one, is for the user.
type exit struct {
	status int
	err    error
}

func (e exit) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// usage is the error of a command that was called wrongly.
func usage(format string, args ...any) error {
	return exit{exitUsage, fmt.Errorf(format, args...)}
}

// run is the program without the process around it. It returns the exit status.
func run(ctx context.Context, args []string, std streams) int {
	root := rootCommand(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	status := exitUsage // what cobra itself complains of
	var e exit
	if errors.As(err, &e) {
		status = e.status
	}
	if text := err.Error(); text != "" {
		complain(std.err, "%s", text)
	}
	return status
}

// complain tells the user something that is no result.
func complain(to io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(to, "postwhere: "+format+"\n", args...)
}

// common is what every command shares.
type common struct {
	streams
	file string // of the configuration
}

// load reads the configuration.
func (c *common) load() (*config.Config, error) {
	cfg, err := config.Load(c.file)
	if err != nil {
		return nil, exit{exitConfig, err}
	}
	return cfg, nil
}

// noCommand is for a command that has others below it: what comes behind it is none of
// them. It says which one may have been meant.
func noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong; cobra's own default, which it sets later
	if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
		hint = fmt.Sprintf(": did you mean %q?", meant[0])
	}
	return usage("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)
}

func rootCommand(io streams) *cobra.Command {
	c := &common{streams: io}
	root := &cobra.Command{
		Use:           "postwhere",
		Short:         "Find the mail host of each recipient of a distributed domain, for Postfix",
		Version:       programVersion(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return exit{status: exitUsage}
		},
	}
	root.SetIn(io.in)
	root.SetOut(io.out)
	root.SetErr(io.err)
	root.CompletionOptions.DisableDefaultCmd = true
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.PersistentFlags().StringVarP(&c.file, "config", "c", config.DefaultFile, "configuration `FILE`")
	_ = root.MarkPersistentFlagFilename("config", "toml") // which it has
	root.AddCommand(
		serveCommand(c), reloadCommand(c), queryCommand(c), checkCommand(c), postfixCommand(c), sendmailCommand(c), setupCommand(c),
		hostsCommand(c), drainCommand(c), undrainCommand(c), cacheCommand(c),
		demoCommand(c), versionCommand(c), completionCommand(root),
	)
	return root
}
