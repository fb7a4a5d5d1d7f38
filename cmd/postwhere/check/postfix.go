package check

import (
	"context"
	"maps"
	"os"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/attach"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/postfix"
)

// postfixParameters are those of main.cf that decide whether postwhere is asked,
// and whether somebody else has refused a recipient before.
var postfixParameters = []string{
	"relay_domains", "mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "transport_maps",
	"smtpd_recipient_restrictions", "smtpd_relay_restrictions", "relay_recipient_maps", "virtual_alias_maps", "recipient_canonical_maps", "canonical_maps",
	"smtpd_milters", "non_smtpd_milters", "queue_directory",
	"smtp_host_lookup", "smtp_dns_support_level", "disable_dns_lookups",
}

// readPostfix reads that of this machine, if there is one.
func (k *checkup) readPostfix(ctx context.Context) {
	if k.conf, k.unread = postfix.Read(ctx, "", postfixParameters...); k.unread != nil {
		return
	}
	k.Spelling = attach.SpellingFor(k.conf)
	for _, a := range k.askedBy() {
		if a.ours {
			k.attached = append(k.attached, a)
		}
	}
}

// postfix looks at it.
func (k *checkup) postfix(ctx context.Context) {
	if k.unread != nil {
		k.note("postfix", "not looked at: %s", maillog.Printable(k.unread.Error()))
		return
	}
	k.relays(ctx)
	k.door(k.routed())
	k.transports()
	k.localNames()
	k.stale(ctx)
	k.jailed()
}

// relays looks at the class of our domains.
func (k *checkup) relays(ctx context.Context) {
	for _, d := range k.cfg.Domain {
		for _, name := range d.Name {
			at := slices.IndexFunc(attach.OtherClasses, func(p string) bool { return postfix.Has(ctx, k.conf.Value(p), name) })
			switch {
			case at >= 0:
				k.fail("postfix", "%s is in mydestination, virtual_mailbox_domains or virtual_alias_domains: take it out, it is to be relayed", name)
			case strings.Contains(k.conf.Value("relay_domains"), ":domain") || postfix.Has(ctx, k.conf.Value("relay_domains"), name):
				k.ok("postfix", "relays for %s", name)
			default:
				k.fail("postfix", "relay_domains does not have %s: see `postwhere postfix`", name)
			}
		}
	}
}

// transports looks whether there are the transports that lead to the hosts: mail for
// one that is not there stays in the queue.
func (k *checkup) transports() {
	known := make(map[string]bool)
	for _, s := range k.conf.Services {
		if s.Type == "unix" {
			known[s.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.cfg.Host)) {
		route := k.cfg.Host[name].Route
		if transport, _, _ := strings.Cut(route, ":"); transport != "" && !known[transport] && len(known) > 0 {
			k.fail("postfix", "the route of host %s, %s, wants the transport %q, and master.cf has none: its mail would stay in the queue; see `postwhere postfix`", name, route, transport)
		}
	}
}

// hostsFile is where the names are that this machine has without DNS.
const hostsFile = "/etc/hosts"

// localNames mentions hosts that mail goes to by a name of /etc/hosts, where postwhere
// finds it: Postfix asks DNS alone, unless smtp_host_lookup says native or DNS is not
// used at all (postconf(5)), and bounces what that does not have.
func (k *checkup) localNames() {
	lookup, level := k.conf.Value("smtp_host_lookup"), k.conf.Value("smtp_dns_support_level")
	native := level == "disabled" || level == "" && k.conf.Value("disable_dns_lookups") == "yes" ||
		slices.Contains(postfix.Words(lookup), "native")
	text, err := os.ReadFile(hostsFile)
	if err != nil || native {
		return
	}
	var local []string
	for _, name := range slices.Sorted(maps.Keys(k.cfg.Host)) {
		route := k.cfg.Host[name].Route
		if m := routeHost.FindStringSubmatch(route); len(m) > 1 && !strings.HasPrefix(route, "lmtp:") && namedIn(string(text), m[1]) {
			local = append(local, m[1])
		}
	}
	if len(local) > 0 {
		k.note("postfix", "it does not look into %s (smtp_host_lookup = %s), where this machine has %s: mail to those of them that DNS does not have bounces. `postconf -e 'smtp_host_lookup = dns, native'`, or say route with an address", hostsFile, lookup, strings.Join(local, ", "))
	}
}

// namedIn tells whether the text of a hosts(5) file has the name.
func namedIn(text, name string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if f := strings.Fields(line); len(f) > 1 && slices.ContainsFunc(f[1:], func(n string) bool { return strings.EqualFold(n, name) }) {
			return true
		}
	}
	return false
}

// routed looks whether the transport map is ours.
func (k *checkup) routed() bool {
	value := k.conf.Value("transport_maps")
	is := k.Names(value, k.cfg.Listen.Socketmap, ":transport")
	for _, t := range k.cfg.Listen.TCPTable {
		is = is || k.Names(value, []config.Listener{t.Listen}, "")
	}
	if is {
		k.ok("postfix", "transport_maps asks postwhere")
	} else {
		k.fail("postfix", "transport_maps does not ask postwhere: see `postwhere postfix`")
	}
	return is
}
