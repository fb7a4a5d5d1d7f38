package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/maillog"
)

func cacheCommand(c *common) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Memory: dump, flush, stats",
		Long: `What the running daemon remembers. Exit status: 0, 64 for a wrong call, 69 where
no daemon is running, 78 for a bad configuration.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return exit{status: exitUsage}
		},
	}
	cmd.AddCommand(cacheDumpCommand(c), cacheFlushCommand(c), cacheStatsCommand(c))
	return cmd
}

func cacheDumpCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "dump",
		Short: "Print what is remembered, a JSON object a line",
		Long: `Print what is remembered, a JSON object a line: address, owner (its host, "" of
an address that no host is known to have) and answers, a list of host, answer,
reply, method, and age in seconds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.askMemory(cmd.Context(), http.MethodGet, "dump", nil, func(from io.Reader) error {
				_, err := io.Copy(c.out, from)
				return err
			})
		},
	}
}

func cacheStatsCommand(c *common) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Print how much is remembered, and whether it is kept over a restart",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s control.MemoryStats
			err := c.askMemory(cmd.Context(), http.MethodGet, "stats", nil, func(from io.Reader) error { return json.NewDecoder(from).Decode(&s) })
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.out).Encode(s)
			}
			_, err = fmt.Fprint(c.out, s)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print an object")
	return cmd
}

func cacheFlushCommand(c *common) *cobra.Command {
	var domain, host string
	var strangers, all bool
	cmd := &cobra.Command{
		Use:   "flush ADDRESS… | --domain NAME | --host NAME | --strangers | --all",
		Short: "Forget addresses, a domain, what a host has said, all strangers, or all",
		Long: `Forget, so that the next look-up asks the hosts: an address in all its spellings, a
domain, the owners that a host has and all strangers of whom it has spoken, all
strangers, or all. What is being asked meanwhile is not remembered either. It is
gone from the file, too, and from the other front ends that share memory. What is
known of how hosts are asked stays.`,
		RunE: func(cmd *cobra.Command, addresses []string) error {
			var queries []url.Values
			for _, a := range addresses {
				queries = append(queries, url.Values{"address": {a}})
			}
			for name, value := range map[string]string{"domain": domain, "host": host} {
				if value != "" {
					queries = append(queries, url.Values{name: {value}})
				}
			}
			for name, is := range map[string]bool{"strangers": strangers, "all": all} {
				if is {
					queries = append(queries, url.Values{name: {""}})
				}
			}
			if len(queries) == 0 || len(queries) > 1 && len(queries) != len(addresses) {
				return usage("cache flush: want addresses, or one of --domain, --host, --strangers and --all")
			}
			for _, q := range queries {
				if err := c.flush(cmd.Context(), q); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&domain, "domain", "", "forget the domain `NAME`")
	cmd.Flags().StringVar(&host, "host", "", "forget what the host `NAME` has and said")
	offerFor(cmd, "domain", c.domainNames)
	offerFor(cmd, "host", c.hostNames)
	cmd.Flags().BoolVar(&strangers, "strangers", false, "forget all addresses that no host is known to have")
	cmd.Flags().BoolVar(&all, "all", false, "forget all")
	return cmd
}

// flush has the daemon forget, and says what it was.
func (c *common) flush(ctx context.Context, what url.Values) error {
	var f control.Flushed
	err := c.askMemory(ctx, http.MethodPost, "flush", what, func(from io.Reader) error { return json.NewDecoder(from).Decode(&f) })
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(what.Encode(), "=")
	_, err = fmt.Fprintf(c.out, "%s: %d owner(s) and %d stranger(s) forgotten\n", maillog.Printable(strings.TrimSpace(name+" "+what.Get(name))), f.Owners, f.Strangers)
	if f.Owners+f.Strangers == 0 {
		c.mistyped(ctx, name, what.Get(name))
	}
	if f.Why != "" {
		complain(c.err, "the file has them yet: %s", maillog.Printable(f.Why))
	}
	if f.SharedWhy != "" {
		complain(c.err, "the other front ends have them yet, and will be told: %s", maillog.Printable(f.SharedWhy))
	}
	return err
}

// mistyped complains of the name of a domain or host that the daemon does not have. It
// may well remember one that it had: that is no wrong call.
func (c *common) mistyped(ctx context.Context, kind, name string) {
	var names []string
	switch kind {
	case "domain":
		names = c.domainNames(ctx)
	case "host":
		names = c.hostNames(ctx)
	}
	if len(names) > 0 && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) }) {
		complain(c.err, "there is no %s %s: the %ss are %s", kind, maillog.Printable(name), kind, strings.Join(names, ", "))
	}
}
