package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"postwhere/policy"
	"postwhere/probe"
)

// complete checks what the decoder cannot, and fills in what depends on more
// than one key. Relative paths begin at dir. It returns all that is wrong, joined.
func (c *Config) complete(dir string) error {
	var wrong problems
	if len(c.Domain) == 0 {
		wrong.add("there is no [[domain]]: name at least one, with its hosts")
	}
	c.completeNames(&wrong)
	c.completeHosts(&wrong)
	for i := range c.Domain {
		c.Domain[i].readOwners(dir, &wrong)
	}
	if c.Probe.HeloName == "" {
		c.Probe.HeloName = ownName()
	}
	if len(c.MX.OwnNames) == 0 {
		c.MX.OwnNames = []string{ownName()}
	}
	c.checkNumbers(&wrong)
	c.checkListeners(&wrong)
	return errors.Join(wrong...)
}

type problems []error

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Errorf(format, args...))
}

// completeNames normalises the domains' names; no two domains may share one,
// also not as the name that hosts are asked about.
func (c *Config) completeNames(wrong *problems) {
	taken := make(map[string]int)
	for i := range c.Domain {
		d := &c.Domain[i]
		if len(d.Name) == 0 {
			wrong.add("domain %d has no name: say name = \"example.com\" in [[domain]]", i+1)
		}
		asks := d.Name
		if d.AskAs != "" {
			asks = append(slices.Clone(d.Name), d.AskAs)
		}
		for j, name := range asks {
			normal, err := policy.NormalDomain(name)
			switch other, is := taken[normal]; {
			case err != nil:
				wrong.add("domain %d: %w", i+1, err)
			case is && other != i:
				wrong.add("domains %d and %d have one name, %s: put the hosts into one [[domain]]", other+1, i+1, name)
			case is && j < len(d.Name):
				wrong.add("domain %d has the name %s twice", i+1, name)
			}
			taken[normal] = i
			if j < len(d.Name) {
				d.Name[j] = normal
			}
		}
		if strings.ContainsFunc(d.RecipientDelimiter, noDelimiter) {
			wrong.add("domain %s: recipient_delimiter %q: want punctuation such as \"+\" or \"+-\"", d.title(i), d.RecipientDelimiter)
		}
	}
}

// noDelimiter tells whether a character cannot begin an address extension.
func noDelimiter(r rune) bool {
	return r <= ' ' || r >= 0x7f || r == '@' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}

// title names the domain in messages.
func (d *Domain) title(i int) string {
	if len(d.Name) > 0 {
		return d.Name[0]
	}
	return strconv.Itoa(i + 1)
}

// completeHosts checks the hosts of all domains and gives each its defaults.
func (c *Config) completeHosts(wrong *problems) {
	if c.Host == nil {
		c.Host = make(map[string]*Host)
	}
	byMX := false
	named := make(map[string]bool)
	for i, d := range c.Domain {
		byMX = byMX || len(d.Hosts) == 0
		for j, name := range d.Hosts {
			if slices.ContainsFunc(d.Hosts[:j], func(other string) bool { return strings.EqualFold(other, name) }) {
				wrong.add("domain %s has the host %s twice", d.title(i), name)
			}
			named[name] = true
			if c.Host[name] == nil {
				c.Host[name] = &Host{}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Host)) {
		switch {
		case named[name]:
		case !byMX:
			wrong.add("[host.%q] is in no domain's hosts: want a host as it is spelled there, port included", name)
		case name != mxName(name):
			wrong.add("[host.%q] is in no domain's hosts, and an MX host is called %q here", name, mxName(name))
		}
		if err := c.Host[name].complete(name); err != nil {
			wrong.add("host %q: %w", name, err)
		}
	}
}

// mxName returns the name that an MX host is known by.
func mxName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// HostOf returns the settings of a host that MX named, or that is in the file.
func (c *Config) HostOf(name string) (Host, error) {
	h := Host{}
	if known := c.Host[name]; known != nil {
		h = *known
	}
	err := h.complete(name)
	return h, err
}

// transportValue is transport(5)'s transport:nexthop, without what would break a
// line of a table; hostName is what may stand in front of an optional port.
var (
	transportValue = regexp.MustCompile(`^[\x21-\x39\x3b-\x7e]*:[\x21-\x7e]*$`)
	hostName       = regexp.MustCompile(`^[A-Za-z0-9_.-]+$|^[0-9A-Fa-f:.]+$`)
)

func (h *Host) complete(name string) error {
	host, port, err := probe.SplitHostPort(name)
	if err != nil {
		return err
	}
	if port == "" {
		port = "25"
	}
	if h.Probe == "" {
		h.Probe = "smtp:inet:" + net.JoinHostPort(host, port)
	}
	if h.Route == "" {
		h.Route = "smtp:[" + host + "]:" + port
	}
	if h.AliasDomain == "" {
		h.AliasDomain = host
	}
	if h.Connections == 0 {
		h.Connections = 5
	}
	switch _, err := probe.ParseEndpoint(h.Probe); {
	case err != nil:
		return fmt.Errorf("probe: %w", err)
	case !hostName.MatchString(host):
		return fmt.Errorf("%q is no host name: want NAME or NAME:PORT", host)
	case !transportValue.MatchString(h.Route) || len(h.Route) > 1000 || h.Route == ":": // ":" is the MX, and that is us
		return fmt.Errorf("route %q: want a transport(5) value such as smtp:[%s]:25", h.Route, host)
	case h.Connections < 1 || h.Connections > 50:
		return fmt.Errorf("connections = %d: want 1 to 50, which is what Postfix grants a client", h.Connections)
	}
	if name, err := policy.NormalDomain(h.AliasDomain); h.AliasDomain != host && (err != nil || !hostName.MatchString(name)) {
		return fmt.Errorf("alias_domain %q: want a domain name", h.AliasDomain)
	}
	if h.Control != "" {
		if _, err := policy.ParseAddress(h.Control); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	return nil
}

// ownName returns this machine's name as the world knows it.
func ownName() string {
	name, err := os.Hostname()
	if err != nil || !hostName.MatchString(name) {
		return "localhost"
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
