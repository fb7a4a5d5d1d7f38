package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

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
	k.relays(ctx, main)
	attached := k.attached("transport_maps", main["transport_maps"], k.cfg.Listen.Socketmap, ":transport")
	k.door(main, strings.Join(master, "\n"), attached)
	k.transports(master)
}

// relays looks at the class of our domains.
func (k *checkup) relays(ctx context.Context, main map[string]string) {
	for _, d := range k.cfg.Domain {
		for _, name := range d.Name {
			at := slices.IndexFunc([]string{"mydestination", "virtual_mailbox_domains", "virtual_alias_domains"},
				func(p string) bool { return has(ctx, main[p], name) })
			switch {
			case at >= 0:
				k.fail("postfix", "%s is in mydestination, virtual_mailbox_domains or virtual_alias_domains: take it out, it is to be relayed", name)
			case strings.Contains(main["relay_domains"], ":domain") || has(ctx, main["relay_domains"], name):
				k.ok("postfix", "relays for %s", name)
			default:
				k.fail("postfix", "relay_domains does not have %s: see `postwhere postfix`", name)
			}
		}
	}
}

// transports looks whether there are the transports that lead to the hosts: mail for
// one that is not there stays in the queue.
func (k *checkup) transports(master []string) {
	known := make(map[string]bool)
	for _, line := range master {
		if f := strings.Fields(line); len(f) > 1 && f[1] == "unix" {
			known[f[0]] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.cfg.Host)) {
		route := k.cfg.Host[name].Route
		if transport, _, _ := strings.Cut(route, ":"); transport != "" && !known[transport] && len(known) > 0 {
			k.fail("postfix", "the route of host %s, %s, wants the transport %q, and master.cf has none: its mail would stay in the queue; see `postwhere postfix`", name, route, transport)
		}
	}
}

// door looks at who judges a recipient at RCPT TO.
// attached tells whether transport_maps asks us.
func (k *checkup) door(main map[string]string, services string, attached bool) {
	restrictions := main["smtpd_recipient_restrictions"]
	byPolicy := names(restrictions+"\n"+services, k.cfg.Listen.Policy, "")
	byMilter := names(main["smtpd_milters"]+"\n"+services, k.cfg.Listen.Milter, "")
	byMap := names(main["relay_recipient_maps"], k.cfg.Listen.Socketmap, ":recipient")
	switch {
	case !byPolicy && !byMilter && !byMap && !attached:
		k.note("postfix", "nothing asks postwhere about recipients: see `postwhere postfix`")
	case !byPolicy && !byMilter && !byMap:
		k.note("postfix", "nothing but the transport map judges recipients (map only): an smtpd remembers what it said, see `postwhere postfix`")
	case !strings.Contains(services, "rewrite_service_name"):
		k.note("postfix", "the door shares its trivial-rewrite with the queue manager, so sessions wait for each other in the map: see `postwhere postfix`")
	default:
		k.ok("postfix", "asks at the door and routes from memory")
	}
	if word := settledBefore(restrictions, k.cfg.Listen.Policy); word != "" {
		k.fail("postfix", "smtpd_recipient_restrictions has %q before the policy service, which is never asked: put it behind", word)
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

// settledBefore returns the word of a list of restrictions that settles the matter
// before one of the listeners is asked, "" if none does.
func settledBefore(restrictions string, listen []config.Listener) string {
	for i, word := range words(restrictions) {
		if slices.Contains([]string{"permit", "reject", "defer"}, strings.ToLower(word)) {
			if names(strings.Join(words(restrictions)[i:], " "), listen, "") {
				return word
			}
			return ""
		}
	}
	return ""
}

// attached looks whether a parameter names one of our listeners.
func (k *checkup) attached(parameter, value string, listen []config.Listener, suffix string) bool {
	is := names(value, listen, suffix)
	for _, t := range k.cfg.Listen.TCPTable {
		is = is || names(value, []config.Listener{t.Listen}, "")
	}
	if is {
		k.ok("postfix", "%s asks postwhere", parameter)
	} else {
		k.fail("postfix", "%s does not ask postwhere: see `postwhere postfix`", parameter)
	}
	return is
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

// has tells whether a list of Postfix's has the domain, in a table too.
func has(ctx context.Context, list, domain string) bool {
	return slices.ContainsFunc(words(list), func(w string) bool {
		return strings.EqualFold(w, domain) || isTable(w) && inTable(ctx, w, domain)
	})
}

// isTable tells whether a word of a list is TYPE:NAME.
func isTable(word string) bool {
	kind, name, ok := strings.Cut(word, ":")
	return ok && kind != "" && name != "" && !strings.ContainsAny(kind, "[]./")
}

// inTable tells whether a table of Postfix's has the key. What cannot be looked up is
// taken for not there.
func inTable(ctx context.Context, table, key string) bool {
	path, err := programOf("postmap")
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, path, "-q", key, table).Run() == nil //nolint:gosec // the administrator's own tables
}

// words returns the words of a list.
func words(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) })
}

// postconf returns the lines that postconf(1) prints.
func postconf(ctx context.Context, args ...string) ([]string, error) {
	path, err := programOf("postconf")
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, path, args...).Output() //nolint:gosec // our own words
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) && len(failed.Stderr) > 0 {
			return nil, errors.New(printable(strings.TrimSpace(string(failed.Stderr))))
		}
		return nil, fmt.Errorf("postconf: %w", err)
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"), nil
}

// programOf returns the path of a program of Postfix's, which may not be in PATH.
func programOf(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			return "", fmt.Errorf("there is no %s here", name)
		}
	}
	return path, nil
}
