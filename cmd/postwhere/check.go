package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"regexp"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
	"postwhere/probe"
)

// checkup is one run of check: a line for each thing looked at.
type checkup struct {
	*common
	cfg    *config.Config
	failed bool
}

func checkCommand(c *common) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Look at the configuration, the hosts and Postfix's side, and say what to do",
		Long: `Print a line for each thing looked at: ok, note or FAIL, what it is, and what to
do about it. Exit status: 0, 1 if a line says FAIL, 78 for a bad configuration.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			k := &checkup{common: c}
			return k.run(cmd.Context())
		},
	}
}

func (k *checkup) ok(what, format string, args ...any)   { k.say("ok  ", what, format, args...) }
func (k *checkup) note(what, format string, args ...any) { k.say("note", what, format, args...) }
func (k *checkup) fail(what, format string, args ...any) {
	k.failed = true
	k.say("FAIL", what, format, args...)
}

func (k *checkup) say(grade, what, format string, args ...any) {
	_, _ = fmt.Fprintf(k.out, "%s  %s: %s\n", grade, what, fmt.Sprintf(format, args...))
}

func (k *checkup) run(ctx context.Context) error {
	var err error
	if k.cfg, err = k.load(); err != nil {
		return err
	}
	k.ok("configuration", "%s, %d domain(s)", k.file, len(k.cfg.Domain))
	memory, err := cache.New(k.cfg.Cache.Options())
	if err != nil {
		return exit{exitConfig, err}
	}
	w, err := newWorld(ctx, k.cfg, memory, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return exit{exitConfig, err}
	}
	defer w.close(ctx)
	for i, d := range w.domains {
		if len(k.cfg.Domain[i].Hosts) == 0 {
			if err := w.adoptMX(ctx, d); err != nil {
				k.fail("domain "+d.Names[0], "%v", err)
			}
		}
		k.hosts(ctx, d)
	}
	k.daemon(ctx)
	k.postfix(ctx)
	if k.failed {
		return exit{status: exitProblem}
	}
	return nil
}

// hosts asks all hosts of a domain at once, and speaks of them in order.
func (k *checkup) hosts(ctx context.Context, d *policy.Domain) {
	hosts := d.Hosts()
	learnt := make([][]probe.Calibration, len(hosts))
	failed := make([]error, len(hosts))
	var asking sync.WaitGroup
	for i, h := range hosts {
		asking.Go(func() { learnt[i], failed[i] = proberOf(h).Calibrate(ctx, d.AsksAbout()) })
	}
	asking.Wait()
	for i, h := range hosts {
		k.host("host "+h.Name, d, learnt[i], failed[i])
	}
}

func (k *checkup) host(what string, d *policy.Domain, learnt []probe.Calibration, err error) {
	if err != nil {
		k.fail(what, "%v. Is its name right, is it up, and may this machine connect? Until then addresses that no other host has get 4xx", err)
		return
	}
	c := learnt[len(learnt)-1] // the method in use, or the last one tried
	switch {
	case c.AcceptsAll:
		k.fail(what, "%s %s. Nothing it says can be believed: give it the list of its mailboxes (Postfix: relay_recipient_maps or virtual_mailbox_maps), or take this machine out of its mynetworks", d.Names[0], c.Why)
	case !c.Tells:
		k.fail(what, "%s: %s. Its answers are unsure", d.Names[0], c.Why)
	case c.Why != "":
		k.fail(what, "%s: %s. Set control to an address that it has", d.Names[0], c.Why)
	default:
		k.ok(what, "%s: asked by %s, refuses unknown addresses with %q", d.Names[0], c.Method, c.Refusal)
	}
}

// daemon looks whether one answers at the control socket.
func (k *checkup) daemon(ctx context.Context) {
	client := newControlClient(k.cfg)
	if client == nil {
		k.note("daemon", "listen.control is empty, so query cannot ask it")
		return
	}
	defer client.close()
	switch _, err := client.query(ctx, "postmaster@invalid"); {
	case errors.Is(err, errNoDaemon):
		k.note("daemon", "none is running at %s: start it by `postwhere serve`", k.cfg.Listen.Control[0])
	case err != nil:
		k.fail("daemon", "cannot be asked at %s: %v", k.cfg.Listen.Control[0], err)
	default:
		k.ok("daemon", "runs and answers at %s", k.cfg.Listen.Control[0])
	}
}

// postfix looks at the Postfix of this machine, if there is one.
func (k *checkup) postfix(ctx context.Context) {
	main, err := postconf(ctx, "-hx", "relay_domains", "mydestination", "virtual_mailbox_domains", "transport_maps", "smtpd_recipient_restrictions", "relay_recipient_maps")
	if err != nil {
		k.note("postfix", "not looked at: %v", err)
		return
	}
	master, err := postconf(ctx, "-M")
	if err != nil || len(main) < 6 {
		k.note("postfix", "not looked at: %v", err)
		return
	}
	relay, mine, virtual, transport, restrictions, recipients := main[0], main[1], main[2], main[3], main[4], main[5]
	services := strings.Join(master, "\n")
	for _, d := range k.cfg.Domain {
		for _, name := range d.Name {
			switch {
			case has(mine, name) || has(virtual, name):
				k.fail("postfix", "%s is in mydestination or virtual_mailbox_domains: take it out, it is to be relayed", name)
			case has(relay, name) || strings.Contains(relay, ":domain"):
				k.ok("postfix", "relays for %s", name)
			default:
				k.fail("postfix", "relay_domains does not have %s: see `postwhere postfix`", name)
			}
		}
	}
	k.attached("transport_maps", transport, k.cfg.Listen.Socketmap, ":transport")
	asksAtDoor := names(restrictions+services, k.cfg.Listen.Policy, "") || names(recipients, k.cfg.Listen.Socketmap, ":recipient")
	switch {
	case !asksAtDoor:
		k.note("postfix", "nothing but the transport map judges recipients (map only): an smtpd remembers what it said, see `postwhere postfix`")
	case !strings.Contains(services, "rewrite_service_name"):
		k.note("postfix", "the door shares its trivial-rewrite with the queue manager, so sessions wait for each other in the map: see `postwhere postfix`")
	default:
		k.ok("postfix", "asks at the door and routes from memory")
	}
}

// attached looks whether a parameter names one of our listeners.
func (k *checkup) attached(parameter, value string, listen []config.Listener, suffix string) {
	if names(value, listen, suffix) {
		k.ok("postfix", "%s asks postwhere", parameter)
		return
	}
	for _, t := range k.cfg.Listen.TCPTable {
		if names(value, []config.Listener{t.Listen}, "") {
			k.ok("postfix", "%s asks postwhere", parameter)
			return
		}
	}
	k.fail("postfix", "%s does not ask postwhere: see `postwhere postfix`", parameter)
}

// names tells whether a parameter's value names one of the listeners.
func names(value string, listen []config.Listener, suffix string) bool {
	for _, l := range listen {
		address := regexp.QuoteMeta(strings.TrimPrefix(postfixSpelling(l), "inet:") + suffix)
		if regexp.MustCompile(`(^|[^\w.])` + address + `($|[^\w])`).MatchString(value) {
			return true
		}
	}
	return false
}

// has tells whether a list of Postfix's has the word.
func has(list, word string) bool {
	for _, w := range strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) }) {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

// postconf returns the lines that postconf(1) prints.
func postconf(ctx context.Context, args ...string) ([]string, error) {
	path, err := exec.LookPath("postconf")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/postconf"); err != nil {
			return nil, errors.New("there is no postconf here")
		}
	}
	out, err := exec.CommandContext(ctx, path, args...).Output() //nolint:gosec // our own words
	if err != nil {
		return nil, fmt.Errorf("postconf: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"), nil
}
