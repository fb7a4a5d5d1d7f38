package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
)

// postfixParameters are those of main.cf that decide whether postwhere is asked,
// and whether somebody else has refused a recipient before.
var postfixParameters = []string{
	"relay_domains", "mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "transport_maps",
	"smtpd_recipient_restrictions", "relay_recipient_maps", "virtual_alias_maps", "recipient_canonical_maps", "canonical_maps",
	"smtpd_milters", "non_smtpd_milters",
}

// postfix looks at the Postfix of this machine, if there is one.
func (k *checkup) postfix(ctx context.Context) {
	values, err := postconf(ctx, append([]string{"-hx"}, postfixParameters...)...)
	var master []string
	if err == nil {
		master, err = postconf(ctx, "-M")
	}
	if err == nil && len(values) != len(postfixParameters) {
		err = errors.New("postconf does not know all that was asked for")
	}
	if err != nil {
		k.note("postfix", "not looked at: %v", err)
		return
	}
	main := make(map[string]string)
	for i, name := range postfixParameters {
		main[name] = values[i]
	}
	k.relays(main)
	k.attached("transport_maps", main["transport_maps"], k.cfg.Listen.Socketmap, ":transport")
	k.door(main, strings.Join(master, "\n"))
}

// relays looks at the class of our domains.
func (k *checkup) relays(main map[string]string) {
	for _, d := range k.cfg.Domain {
		for _, name := range d.Name {
			at := slices.IndexFunc([]string{"mydestination", "virtual_mailbox_domains", "virtual_alias_domains"},
				func(p string) bool { return has(main[p], name) })
			switch {
			case at >= 0:
				k.fail("postfix", "%s is in mydestination, virtual_mailbox_domains or virtual_alias_domains: take it out, it is to be relayed", name)
			case has(main["relay_domains"], name) || strings.Contains(main["relay_domains"], ":domain"):
				k.ok("postfix", "relays for %s", name)
			default:
				k.fail("postfix", "relay_domains does not have %s: see `postwhere postfix`", name)
			}
		}
	}
}

// door looks at who judges a recipient at RCPT TO.
func (k *checkup) door(main map[string]string, services string) {
	byPolicy := names(main["smtpd_recipient_restrictions"]+services, k.cfg.Listen.Policy, "")
	byMilter := names(main["smtpd_milters"]+services, k.cfg.Listen.Milter, "")
	byMap := names(main["relay_recipient_maps"], k.cfg.Listen.Socketmap, ":recipient")
	switch {
	case !byPolicy && !byMilter && !byMap:
		k.note("postfix", "nothing but the transport map judges recipients (map only): an smtpd remembers what it said, see `postwhere postfix`")
	case !strings.Contains(services, "rewrite_service_name"):
		k.note("postfix", "the door shares its trivial-rewrite with the queue manager, so sessions wait for each other in the map: see `postwhere postfix`")
	default:
		k.ok("postfix", "asks at the door and routes from memory")
	}
	if byPolicy && byMilter {
		k.note("postfix", "both the policy service and the milter are asked about each recipient: one of them is enough")
	}
	if names(main["non_smtpd_milters"], k.cfg.Listen.Milter, "") {
		k.fail("postfix", "non_smtpd_milters asks postwhere: take it out, only smtpd can refuse a recipient")
	}
	if maps := main["relay_recipient_maps"]; maps != "" && !byMap {
		k.fail("postfix", "relay_recipient_maps (%s) refuses all recipients of our domains that are not in it: add postwhere's, see `postwhere postfix --recipient-map`", maps)
	}
	for _, p := range []string{"virtual_alias_maps", "recipient_canonical_maps", "canonical_maps"} {
		if main[p] != "" && (byPolicy || byMilter) {
			asked := "the policy service"
			if !byPolicy {
				asked = "the milter"
			}
			k.note("postfix", "%s is set, and %s is asked about addresses before they are rewritten: if our domains have aliases there, judge by `postwhere postfix --recipient-map`", p, asked)
		}
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
