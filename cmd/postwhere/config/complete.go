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
			wrong.add("domain %d has no name", i+1)
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
		if strings.ContainsFunc(d.RecipientDelimiter, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '@' }) {
			wrong.add("domain %s: recipient_delimiter %q: want punctuation", d.title(i), d.RecipientDelimiter)
		}
	}
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
			if slices.Contains(d.Hosts[:j], name) {
				wrong.add("domain %s has the host %s twice", d.title(i), name)
			}
			named[name] = true
			if c.Host[name] == nil {
				c.Host[name] = &Host{}
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Host)) {
		if !named[name] && !byMX {
			wrong.add("[host.%q] is in no domain's hosts", name)
		}
		if err := c.Host[name].complete(name); err != nil {
			wrong.add("host %q: %w", name, err)
		}
	}
}

// HostOf returns the settings of a host that MX named, or that is in the file.
func (c *Config) HostOf(name string) (Host, error) {
	h := Host{}
	if known := c.Host[name]; known != nil {
		h = *known
	}
	return h, h.complete(name)
}

// transportValue is transport(5)'s transport:nexthop, without what would break a
// line of a table; hostName is what may stand in front of an optional port.
var (
	transportValue = regexp.MustCompile(`^[!-9;-~]*:[!-~]*$`)
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
	case !transportValue.MatchString(h.Route) || len(h.Route) > 1000:
		return fmt.Errorf("route %q: want a transport(5) value such as smtp:[%s]:25", h.Route, host)
	case h.Connections < 1 || h.Connections > 50:
		return fmt.Errorf("connections = %d: want 1 to 50, which is what Postfix grants a client", h.Connections)
	}
	if h.Control != "" {
		if _, err := policy.ParseAddress(h.Control); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	return nil
}

// checkNumbers checks what must lie within bounds or in an order.
func (c *Config) checkNumbers(wrong *problems) {
	positive := func(key string, d Duration) {
		if d <= 0 {
			wrong.add("%s must be more than 0", key)
		}
	}
	positive("search.deadline", c.Search.Deadline)
	positive("search.map_wait", c.Search.MapWait)
	positive("probe.connect_timeout", c.Probe.ConnectTimeout)
	positive("probe.reply_timeout", c.Probe.ReplyTimeout)
	positive("cache.owner_refresh", c.Cache.OwnerRefresh)
	positive("cache.no_expire", c.Cache.NoExpire)
	positive("cache.unsure_expire", c.Cache.UnsureExpire)
	positive("limits.request_timeout", c.Limits.RequestTimeout)
	positive("mx.refresh", c.MX.Refresh)
	for key, n := range map[string]int{
		"search.max_searches": c.Search.MaxSearches, "cache.owners": c.Cache.Owners,
		"cache.strangers": c.Cache.Strangers, "limits.connections": c.Limits.Connections,
	} {
		if n < 1 {
			wrong.add("%s = %d: want 1 or more", key, n)
		}
	}
	if c.Cache.OwnerExpire < c.Cache.OwnerRefresh {
		wrong.add("cache.owner_expire (%s) is shorter than cache.owner_refresh (%s)", c.Cache.OwnerExpire, c.Cache.OwnerRefresh)
	}
	if c.Reply.Reject.Code/100 != 5 {
		wrong.add("reply.reject must be a 5xx reply, not %q", c.Reply.Reject)
	}
	if c.Reply.Defer.Code/100 != 4 {
		wrong.add("reply.defer must be a 4xx reply, not %q", c.Reply.Defer)
	}
	if s := c.Probe.Sender; s != "" {
		if _, err := policy.ParseAddress(s); err != nil {
			wrong.add("probe.sender: %w", err)
		}
	}
	if n := c.Probe.HeloName; n != "" && !hostName.MatchString(n) {
		wrong.add("probe.helo_name %q: want a host name", n)
	}
}

// checkListeners: no address twice, no unknown map.
func (c *Config) checkListeners(wrong *problems) {
	taken := make(map[Listener]string)
	claim := func(key string, l Listener) {
		if other, is := taken[l]; is && !strings.HasSuffix(l.Address, ":0") {
			wrong.add("%s and %s both listen on %s", other, key, l)
		}
		taken[l] = key
	}
	for key, list := range map[string][]Listener{
		"listen.policy": c.Listen.Policy, "listen.socketmap": c.Listen.Socketmap, "listen.control": c.Listen.Control,
	} {
		for _, l := range list {
			claim(key, l)
		}
	}
	for _, l := range c.Listen.Control {
		if l.Network != "unix" {
			wrong.add("listen.control %s: want unix:/PATH, whose permissions say who may give orders", l)
		}
	}
	for _, t := range c.Listen.TCPTable {
		claim("listen.tcp_table", t.Listen)
		if !slices.Contains([]string{"transport", "recipient", "domain", "alias"}, t.Map) {
			wrong.add("listen.tcp_table %s: map %q: want transport, recipient, domain or alias", t.Listen, t.Map)
		}
	}
}

// ownName returns this machine's name as the world knows it.
func ownName() string {
	name, err := os.Hostname()
	if err != nil || !hostName.MatchString(name) {
		return "localhost"
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
