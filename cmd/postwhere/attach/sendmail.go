package attach

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy/table"
)

// SendmailLines returns the lines of sendmail.mc that attach postwhere. The error says
// what the configuration lacks for it.
//
// A mailertable is looked up by domain, and hosts are found by address, so rules of
// our own ask the map, with the whole address, before Sendmail looks at its tables
// (LOCAL_RULE_0). Sendmail applies them when the recipient is named, and delivers by
// what came out; from its queue it applies them anew. It applies them to a sender
// too, who is none of ours.
func SendmailLines(cfg *config.Config, mapOnly bool) (string, error) {
	if len(cfg.Listen.Socketmap) == 0 {
		return "", fmt.Errorf("listen.socketmap is empty: Sendmail needs it to find the way to a mailbox")
	}
	if !mapOnly && len(cfg.Listen.Milter) == 0 {
		return "", fmt.Errorf("listen.milter is empty: name a listener, or take --map-only")
	}
	mailers, ports, err := mailersOf(cfg)
	if err != nil {
		return "", err
	}
	var names []string
	for _, d := range cfg.Domain {
		names = append(names, d.Name...)
	}
	patience := fmt.Sprintf("%.0fs", (time.Duration(cfg.Search.Deadline) + 10*time.Second).Seconds())
	at := sendmailSpelling(cfg.Listen.Socketmap[0])

	var b strings.Builder
	say := func(lines string, args ...any) { fmt.Fprintf(&b, lines+"\n", args...) }
	say("dnl For the end of sendmail.mc, behind MAILER. The domain must not be in local-host-names (class w).")
	say("dnl Entries for it in virtusertable and mailertable do not count: postwhere alone says where its mail goes.")
	for _, name := range names {
		say("RELAY_DOMAIN(`%s')dnl", name)
	}
	if !mapOnly {
		say("INPUT_MAIL_FILTER(`postwhere', `S=%s, F=T, T=C:10s;S:10s;R:%s;E:1m')dnl", sendmailSpelling(cfg.Listen.Milter[0]), patience)
	}
	if len(ports) > 0 {
		say("MAILER_DEFINITIONS")
		for _, port := range ports {
			say("Mesmtp%[1]s,\tP=[IPC], F=mDFMuXa, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=990,\n"+
				"\t\tT=DNS/RFC822/SMTP, A=TCP $h %[1]s", port)
		}
	}
	say("LOCAL_CONFIG")
	say("C{Postwhere}`%s'", strings.Join(names, " "))
	say("C{PostwhereMailer}`%s'", strings.Join(mailers, " "))
	if mapOnly {
		say("K%s socket -f -q -d%s -T<LATER> `%s'", table.Sendmail, patience, at)
	} else {
		for _, name := range []string{table.Sendmail, table.SendmailDoor} {
			say("K%s socket -f -q -d%s `%s'", name, patience, at)
		}
	}
	say("LOCAL_RULE_0")
	say("R$+ < @ $={Postwhere} . >\t$: $>Postwhere $1 < @ $2 . >")
	say("R$+ < @ $={Postwhere} >\t\t$: $>Postwhere $1 < @ $2 . >")
	say("LOCAL_RULESETS")
	say("SPostwhere")
	say("R$*\t\t\t\t$: $&{addr_type} $| $1")
	say("Re s $| $*\t\t\t$@ $1\t\ta sender")
	if mapOnly {
		say("R$* $| $+ < @ $+ . >\t\t$: < $(%s $2 @ $3 $: $) > $2 < @ $3 . >", table.Sendmail)
		say("R< $* < LATER > > $*\t\t$#error $@ 4.3.0 $: \"450 Mailbox cannot be looked up now, try again later\"")
	} else {
		say("R$* $| $+ < @ $+ . >\t\t$: < $&{client_port} > $2 < @ $3 . >")
		say("R< > $+ < @ $+ . >\t\t$: < $(%s $1 @ $2 $: $) > $1 < @ $2 . >\tfrom the queue", table.Sendmail)
		say("R< $- > $+ < @ $+ . >\t\t$: < $(%s $2 @ $3 $: $) > $2 < @ $3 . >\tby SMTP: the milter judges", table.SendmailDoor)
	}
	say("R< > $*\t\t\t\t$@ $1\t\tnot found, or not yet: then it is queued")
	say("R< error : $* > $*\t\t$@ $>MailerToTriple < error : $1 > $2")
	say("R< $={PostwhereMailer} : $* > $*\t$@ $>MailerToTriple < $1 : $2 > $3")
	// A mailer that Sendmail does not have would be 554 to it.
	say("R$*\t\t\t\t$#error $@ 4.3.5 $: \"450 Mailbox cannot be reached now, try again later\"")
	return b.String(), nil
}

// mailersOf returns the names of the mailers that lead to the hosts, and the ports of
// those that Sendmail does not bring along. The error says which host has no mailer.
func mailersOf(cfg *config.Config) (names, ports []string, err error) {
	names = []string{"esmtp"} // the hosts that MX names
	for _, name := range slices.Sorted(maps.Keys(cfg.Host)) {
		h := cfg.Host[name]
		mailer, _, _ := strings.Cut(h.Mailer, ":")
		if mailer == "" {
			return nil, nil, fmt.Errorf("host %s: Sendmail has no way like route %q: name one of its mailers, as in a mailertable, such as\n"+
				"  [host.%q]\n  mailer = \"esmtp:[%s]\"", name, h.Route, name, name)
		}
		names = append(names, mailer)
		if port := h.MailerPort(); port != "" {
			ports = append(ports, port)
		}
	}
	slices.Sort(names)
	slices.Sort(ports)
	return slices.Compact(names), slices.Compact(ports), nil
}

// sendmailSpelling returns a listener as Sendmail and its library name it.
func sendmailSpelling(l config.Listener) string {
	if l.Network == "unix" {
		return l.String()
	}
	host, port, _ := net.SplitHostPort(l.Address) // the configuration has seen to it
	family := "inet"
	if strings.Contains(host, ":") {
		family = "inet6"
	}
	return family + ":" + port + "@" + host
}
