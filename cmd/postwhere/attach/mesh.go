package attach

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
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

// What a machine of a mesh has beside what any attached Postfix has.
const (
	innerService = "rewrite-inner"
	meshService  = "mesh"
	meshClients  = "mesh_client_restrictions"
	meshFilter   = "mesh_reply_filter"
)

// IsInnerDoor tells whether a service is one for the peers of a mesh.
func IsInnerDoor(s postfix.Service) bool {
	own, _ := s.Option("rewrite_service_name")
	return own == innerService
}

// innerDoor makes a machine of the mesh of one that is attached by policy. The map
// asks the local tables first.
func (a *attacher) innerDoor() {
	m := a.mesh
	a.set(meshClients, "check_client_access inline:{"+strings.Join(m.peers, "=OK, ")+"=OK}, defer",
		"The inner door, for the peers' probes and deliveries: it knows the mailboxes and aliases of this machine, and",
		"nothing else. The peers are known by the address that they connect from; others are told to try again, so",
		"that a wrong list bounces no mail.")
	a.service(postfix.Service{Name: innerService, Type: "unix", Command: "trivial-rewrite"}, "-",
		"transport_maps=", "relay_domains=", "mydestination=", "virtual_mailbox_domains="+strings.Join(m.domains, ","))
	for _, s := range a.conf.Services {
		if IsInnerDoor(s) && s.Name != m.door {
			a.change(nil, "-MX", s.Key())
		}
	}
	a.service(postfix.Service{Name: m.door, Type: "inet", Chroot: a.frontChroot(), Command: "smtpd"}, "n",
		"syslog_name=postfix/inner",
		"rewrite_service_name="+innerService,
		"smtpd_client_restrictions=$"+meshClients,
		"smtpd_helo_restrictions=",
		"smtpd_sender_restrictions=",
		"smtpd_relay_restrictions=reject_unauth_destination",
		"smtpd_recipient_restrictions=",
		"smtpd_data_restrictions=",
		"smtpd_end_of_data_restrictions=",
		"smtpd_milters=",
		"content_filter=",
		"disable_vrfy_command=no",
		"smtpd_reject_unlisted_recipient=yes")
	a.set(meshFilter, `regexp:{{/^550([- ])5\.1\.1(.*)/ 450$${1}4.1.1$$2}}`,
		`For the routes to the peers, as in route = "mesh:[HOST]:PORT": a mailbox that has moved since it was last`,
		"asked for must not bounce, so its mail waits until it is found again.")
	a.service(postfix.Service{Name: meshService, Type: "unix", Command: "smtp"}, "-",
		"smtp_reply_filter=$"+meshFilter, "syslog_name=postfix/mesh")
}

// service makes a service of ours, unless it is there, and gives it the options that
// it lacks.
func (a *attacher) service(want postfix.Service, private string, options ...string) {
	is, there := a.conf.Service(want.Key())
	if !there {
		chroot := "n"
		if want.Chroot {
			chroot = "y"
		}
		a.change(nil, "-M", fmt.Sprintf("%s=%s %s %s - %s - - %s", want.Key(), want.Name, want.Type, private, chroot, want.Command))
	}
	args := []string{"-P"}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		if own, has := is.Option(name); !has || own != value {
			args = append(args, want.Key()+"/"+option)
		}
	}
	if len(args) > 1 {
		a.change(nil, args...)
	}
}

// frontChroot tells whether the front door is in a chroot; so is the inner one then.
func (a *attacher) frontChroot() bool {
	i := slices.IndexFunc(a.conf.Services, func(s postfix.Service) bool {
		return s.Command == "smtpd" && !IsInnerDoor(s)
	})
	return i >= 0 && a.conf.Services[i].Chroot
}

// noInnerDoor takes out what innerDoor has made.
func (a *attacher) noInnerDoor() {
	for _, s := range a.conf.Services {
		rewrites, _ := s.Option("rewrite_service_name")
		filter, _ := s.Option("smtp_reply_filter")
		if rewrites == innerService || s.Key() == innerService+"/unix" || s.Key() == meshService+"/unix" && filter == "$"+meshFilter {
			a.change(nil, "-MX", s.Key())
		}
	}
	for _, name := range []string{meshClients, meshFilter} {
		if a.conf.Raw(name) != "" {
			a.change(nil, "-X", name)
		}
	}
}

// localFirst is the map of what has a mailbox on this machine.
func (m mesh) localFirst() string { return localTables + m.route + "}}" }

const localTables = `pipemap:{unionmap:{$virtual_mailbox_maps}, static:{`

// isLocalFirst tells whether a word of transport_maps is such a map.
func isLocalFirst(word string) bool { return strings.HasPrefix(word, localTables) }
