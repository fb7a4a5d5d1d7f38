package main

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
	"postwhere/probe"
)

// mesh is a domain each of whose machines is front end and mailbox host at once,
// as one of them sees it.
//
// A look-up in a map names no client, so mail that goes round in circles from one
// map to the next cannot be seen from inside. It cannot come to that: each machine
// has an inner door, an smtpd(8) that knows only the local mailboxes, for probes
// and deliveries of its peers; and what has a mailbox here is delivered here, by
// the tables that the inner door judges by, whatever postwhere remembers.
type mesh struct {
	domains []string // that the inner door is asked about
	route   string   // of this machine's mailboxes
	door    string   // where its inner door listens: ADDRESS:PORT, or PORT
	peers   []string // by host name or address, this machine included
}

// meshOf finds the machine among the hosts of the configuration: it is the one
// whose route stays here.
func meshOf(cfg *config.Config) (mesh, error) {
	var m mesh
	var names, here []string
	for _, d := range cfg.Domain {
		if len(d.Hosts) == 0 {
			return m, fmt.Errorf("domain %s: a mesh needs `hosts`: MX leads to the front doors, and peers are asked at their inner doors", d.Name[0])
		}
		m.domains = append(m.domains, d.Name...)
		if d.AskAs != "" && !slices.Contains(m.domains, d.AskAs) {
			m.domains = append(m.domains, d.AskAs)
		}
		for _, name := range d.Hosts {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	for _, name := range names {
		h, err := cfg.HostOf(name)
		if err != nil {
			return m, fmt.Errorf("host %s: %w", name, err)
		}
		at, err := probe.ParseEndpoint(h.Probe)
		if err != nil {
			return m, fmt.Errorf("host %s: %w", name, err)
		}
		host, port, err := net.SplitHostPort(at.Address)
		if at.Network != "tcp" || at.LMTP || err != nil {
			return m, fmt.Errorf("host %s: probe %q: in a mesh a host is asked at its inner door, want smtp:inet:HOST:PORT", name, h.Probe)
		}
		m.peers = append(m.peers, asClient(host))
		if staysHere(h.Route) {
			here = append(here, name)
			m.route, m.door = h.Route, innerDoor(host, port)
		}
	}
	if len(here) != 1 {
		return m, fmt.Errorf("a mesh needs one host that is this machine, with its local transport as route, such as\n"+
			"  [host.%q]\n  route = \"virtual:\"\nhere %d of %s have one", names[0], len(here), strings.Join(names, ", "))
	}
	if strings.HasSuffix(":"+m.door, ":25") {
		return m, fmt.Errorf("host %s: its probe leads to port 25, which is the front door: name another port for the inner door", here[0])
	}
	return m, nil
}

// staysHere tells whether a transport(5) value delivers on this machine: it has no
// next hop, or a Unix socket.
func staysHere(route string) bool {
	_, nexthop, _ := strings.Cut(route, ":")
	return nexthop == "" || strings.HasPrefix(nexthop, "unix:")
}

// asClient returns a host as smtpd(8) looks it up in access(5), whose keys are in
// lower case and have addresses as inet_ntop(3) writes them.
func asClient(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String()
	}
	return strings.ToLower(host)
}

// innerDoor names the service in master.cf. A host name is left out, since
// master(8) does not start without the DNS otherwise; peers alone are let in.
func innerDoor(host, port string) string {
	if _, err := netip.ParseAddr(host); err != nil {
		return port
	}
	return net.JoinHostPort(host, port)
}

// lines says what makes a machine of the mesh of one that is attached by policy.
// The map asks the local tables first.
func (m mesh) lines(say func(format string, args ...any)) {
	domains := strings.Join(m.domains, ",")
	say("# The inner door, for the peers' probes and deliveries: it knows the mailboxes and aliases of this machine, and")
	say("# nothing else. The peers are known by the address that they connect from; others are told to try again, so")
	say("# that a wrong list bounces no mail.")
	say("postconf -e 'mesh_client_restrictions = check_client_access inline:{%s=OK}, defer'", strings.Join(m.peers, "=OK, "))
	say("postconf -M 'rewrite-inner/unix=rewrite-inner unix - - n - - trivial-rewrite -o transport_maps= -o relay_domains= -o mydestination= -o virtual_mailbox_domains=%s'", domains)
	say(`postconf -M "%s/inet=%[1]s inet n - $(postconf -Fh smtp/inet/chroot) - - smtpd"`, m.door)
	say("postconf -P \\")
	for _, option := range []string{
		"syslog_name=postfix/inner",
		"rewrite_service_name=rewrite-inner",
		"smtpd_client_restrictions=$mesh_client_restrictions",
		"smtpd_helo_restrictions=",
		"smtpd_sender_restrictions=",
		"smtpd_relay_restrictions=reject_unauth_destination",
		"smtpd_recipient_restrictions=",
		"smtpd_data_restrictions=",
		"smtpd_end_of_data_restrictions=",
		"smtpd_milters=",
		"content_filter=",
		"disable_vrfy_command=no",
	} {
		say("    '%s/inet/%s' \\", m.door, option)
	}
	say("    '%s/inet/smtpd_reject_unlisted_recipient=yes'", m.door)
	say("# For the routes to the peers, as in route = \"mesh:[HOST]:PORT\": a mailbox that has moved since it was last")
	say("# asked for must not bounce, so its mail waits until it is found again.")
	say(`postconf -e 'mesh_reply_filter = regexp:{{/^550([- ])5\.1\.1(.*)/ 450$${1}4.1.1$$2}}'`)
	say("postconf -M 'mesh/unix=mesh unix - - n - - smtp'")
	say("postconf -P 'mesh/unix/smtp_reply_filter=$mesh_reply_filter' 'mesh/unix/syslog_name=postfix/mesh'")
}

// localFirst is the map of what has a mailbox on this machine.
func (m mesh) localFirst() string {
	return `pipemap:{unionmap:{\$virtual_mailbox_maps}, static:{` + m.route + `}}`
}
