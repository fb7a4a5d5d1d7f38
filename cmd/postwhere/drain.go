package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postwhere/policy"
)

// drainage is what draining a host, or ending that, has come to. It travels as JSON.
type drainage struct {
	Host    string    `json:"host"`
	Drained bool      `json:"drained"` // it is now
	Changed bool      `json:"changed"`
	Since   time.Time `json:"since"` // drained
	Then    []string  `json:"then"`  // what becomes of recipients, for each domain
}

// noHostError: no domain has a host of that name.
type noHostError struct {
	name  string
	known []string
}

func (e noHostError) Error() string {
	if len(e.known) == 0 {
		return "there is no host " + printable(e.name) + ": no domain's hosts are known yet"
	}
	return "there is no host " + printable(e.name) + ": the hosts are " + strings.Join(e.known, ", ")
}

// drain takes hosts out of the asking, or back in. If it knows one of them not, it
// changes nothing, and returns a noHostError. It may be called concurrently.
func (d *daemon) drain(names []string, drained bool) ([]drainage, error) {
	if len(names) == 0 {
		return nil, errors.New("which hosts?")
	}
	w := d.enter()
	defer w.requests.Done()
	hosts := w.allHosts()
	for _, name := range names {
		_, was := d.drained.of(name) // a host may be gone, and its name drained yet
		if !was && !slices.ContainsFunc(hosts, func(h *policy.Host) bool { return h.Name == name }) {
			return nil, noHostError{name, namesOfHosts(hosts)}
		}
	}
	changed := d.drained.set(names, drained)
	for _, h := range hosts {
		if drained && slices.Contains(changed, h.Name) {
			proberOf(h).CloseIdle()
		}
	}
	if len(changed) > 0 {
		// What the host said before stands beside no new answer, and when it is back it
		// is asked at once.
		d.memory.ForgetStrangers()
	}
	var all []drainage
	for _, name := range names {
		since, _ := d.drained.of(name)
		one := drainage{Host: name, Drained: drained, Changed: slices.Contains(changed, name), Since: since, Then: w.withoutHost(name)}
		if one.Changed {
			d.log.Warn(one.word(), "host", name)
		}
		all = append(all, one)
	}
	return all, nil
}

// word is what has become of the host, for the log.
func (o drainage) word() string {
	if o.Drained {
		return "host is drained: it is unsure until it is undrained, or the daemon is started again"
	}
	return "host is asked again"
}

// String is for who has done it.
func (o drainage) String() string {
	switch {
	case o.Drained && o.Changed:
		return fmt.Sprintf("%s: drained. It is not asked, and unsure, until `postwhere undrain %s` or a new start of the daemon; a reload leaves it drained. %s",
			o.Host, o.Host, strings.Join(o.Then, "; "))
	case o.Drained:
		return fmt.Sprintf("%s: was drained already, since %s", o.Host, o.Since.Local().Format(time.DateTime))
	case o.Changed:
		return o.Host + ": is asked again"
	}
	return o.Host + ": was not drained"
}

// withoutHost says, for each domain that has the host, what becomes of recipients
// while it cannot be asked.
func (w *world) withoutHost(name string) []string {
	then := []string{}
	for _, d := range w.domains {
		for _, h := range d.Hosts() {
			if h.Name == name {
				then = append(then, d.Names[0]+": "+consequence(d, h))
			}
		}
	}
	return then
}

// allHosts returns each host once, in the order of domains and of preference.
func (w *world) allHosts() []*policy.Host {
	var all []*policy.Host
	for _, d := range w.domains {
		for _, h := range d.Hosts() {
			if !slices.Contains(all, h) {
				all = append(all, h)
			}
		}
	}
	return all
}

func namesOfHosts(hosts []*policy.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}

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
	defer client.close()
	done, err := client.drain(ctx, what, hosts)
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
