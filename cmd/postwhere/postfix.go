package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postwhere/cmd/postwhere/config"
)

// queueDirectory is Postfix's default; its daemons may be chrooted there, and
// find sockets below it by a relative path in either case.
const queueDirectory = "/var/spool/postfix/"

// attachment is a way to attach postwhere to Postfix.
type attachment uint8

const (
	byPolicy attachment = iota
	byMilter
	byRecipientMap
	byMapOnly
	byMesh
)

func postfixCommand(c *common) *cobra.Command {
	var policyWay, milterWay, recipientMap, mapOnly, inMesh bool
	cmd := &cobra.Command{
		Use:   "postfix",
		Short: "Print the main.cf and master.cf lines for this configuration, as commands",
		Long: `Print, as postconf(1) commands, what attaches postwhere to the Postfix of this
machine. Nothing is changed. Pipe it into sh once you have read it.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := c.load()
			if err != nil {
				return err
			}
			way := byPolicy
			switch {
			case milterWay:
				way = byMilter
			case recipientMap:
				way = byRecipientMap
			case mapOnly:
				way = byMapOnly
			case inMesh:
				way = byMesh
			}
			text, err := postfixLines(cfg, way)
			if err != nil {
				return exit{exitConfig, err}
			}
			_, err = fmt.Fprint(c.out, text)
			return err
		},
	}
	cmd.Flags().BoolVar(&policyWay, "policy", false, "ask at the door by check_policy_service, route from memory (default)")
	cmd.Flags().BoolVar(&milterWay, "milter", false, "ask at the door by smtpd_milters, route from memory")
	cmd.Flags().BoolVar(&recipientMap, "recipient-map", false, "ask at the door by relay_recipient_maps, route from memory")
	cmd.Flags().BoolVar(&mapOnly, "map-only", false, "the transport map alone says every verdict")
	cmd.Flags().BoolVar(&inMesh, "mesh", false, "this machine is one of the hosts, too: --policy, and an inner door for its peers")
	cmd.MarkFlagsMutuallyExclusive("policy", "milter", "recipient-map", "map-only", "mesh")
	return cmd
}

// postfixLines returns the commands that attach postwhere in one way.
func postfixLines(cfg *config.Config, way attachment) (string, error) {
	if len(cfg.Listen.Socketmap) == 0 {
		return "", fmt.Errorf("listen.socketmap is empty: Postfix needs it to find the way to a mailbox")
	}
	if (way == byPolicy || way == byMesh) && len(cfg.Listen.Policy) == 0 {
		return "", fmt.Errorf("listen.policy is empty: name a listener, or take --recipient-map or --map-only")
	}
	if way == byMilter && len(cfg.Listen.Milter) == 0 {
		return "", fmt.Errorf("listen.milter is empty: name a listener, or take another way")
	}
	socketmap := "socketmap:" + postfixSpelling(cfg.Listen.Socketmap[0])
	routes := socketmap + ":transport"
	var m mesh
	if way == byMesh {
		var err error
		if m, err = meshOf(cfg); err != nil {
			return "", err
		}
		routes = m.localFirst() + " " + routes
	}
	var names []string
	for _, d := range cfg.Domain {
		names = append(names, d.Name...)
	}
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("# Run these once, as root: they add to what is there.")
	if way == byMesh {
		say("# On each machine of the mesh. The domain must be in none of mydestination, virtual_mailbox_domains and")
		say("# virtual_alias_domains: the front door relays it. What has a mailbox in virtual_mailbox_maps is delivered here,")
		say("# and for all else postwhere says where to.")
	} else {
		say("# The domain is relayed, and postwhere says where to.")
	}
	say(`postconf -e "relay_domains = $(postconf -h relay_domains) %s"`, strings.Join(names, " "))
	say(`postconf -e "transport_maps = %s $(postconf -h transport_maps)"`, routes)
	switch way {
	case byPolicy, byMesh:
		patience := time.Duration(cfg.Search.Deadline) + 10*time.Second
		say("# Unknown recipients are refused at the door. A verdict may take a while: hosts are asked.")
		say(`postconf -e "smtpd_recipient_restrictions = $(postconf -h smtpd_recipient_restrictions) check_policy_service {%s, timeout=%.0fs}"`,
			postfixSpelling(cfg.Listen.Policy[0]), patience.Seconds())
	case byMilter:
		say("# Unknown recipients are refused at the door, and 4xx is said while postwhere is away. Never put it into")
		say("# non_smtpd_milters: there no recipient can be refused, and the message is tried for ever.")
		say(`postconf -e "smtpd_milters = $(postconf -h smtpd_milters) {%s, protocol=6, default_action=tempfail}"`,
			postfixSpelling(cfg.Listen.Milter[0]))
	case byRecipientMap:
		say("# Unknown recipients are refused at the door. Postfix folds the address to lower case for this map.")
		say(`postconf -e "relay_recipient_maps = %s:recipient $(postconf -h relay_recipient_maps)"`, socketmap)
	case byMapOnly:
		say("# The transport map refuses unknown recipients, too. Mind that an smtpd remembers what the map said,")
		say("# a 4xx as well, for as long as its process lives (at most 100 sessions, or 100 s without any).")
	}
	if way != byMapOnly {
		say("# The door resolves addresses without the map, so that sessions do not wait for each other there.")
		say("# Where postscreen(8) is used, the service is smtpd/pass instead of smtp/inet.")
		say("postconf -M 'rewrite-door/unix=rewrite-door unix - - n - - trivial-rewrite -o transport_maps='")
		say("postconf -P 'smtp/inet/rewrite_service_name=rewrite-door'")
	}
	if way == byMesh {
		m.lines(say)
	}
	if name := cfg.Postfix.Transport; name != "smtp" {
		movingTransport(say, name)
	}
	say("postfix reload")
	return b.String(), nil
}

// movingTransport prints the delivery transport for mailboxes that move: their old
// host's "no such mailbox" is a reason to try again, and then the mailbox is looked
// up again. Postfix's smtp(8) reads replies through smtp_reply_filter.
func movingTransport(say func(string, ...any), name string) {
	say("# Mail for a mailbox that has moved away is tried again, and not bounced.")
	say(`echo '/^550([- ])5\.1\.[01](.*)/ 450${1}4.1.1$2' > "$(postconf -h config_directory)/%s.regexp"`, name)
	say(`postconf -M '%[1]s/unix=%[1]s unix - - n - - smtp'`, name)
	say(`postconf -P "%[1]s/unix/smtp_reply_filter=regexp:$(postconf -h config_directory)/%[1]s.regexp"`, name)
}

// postfixSpelling returns a listener as a client of Postfix's must name it.
func postfixSpelling(l config.Listener) string {
	if path, ok := strings.CutPrefix(l.Address, queueDirectory); ok && l.Network == "unix" {
		return "unix:" + path
	}
	return l.String()
}
