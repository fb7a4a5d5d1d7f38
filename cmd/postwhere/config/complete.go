package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"postwhere/policy"
)

// complete checks what the decoder cannot, and fills in what depends on more
// than one key. Relative paths begin at dir. It returns all that is wrong, joined.
func (c *Config) complete(dir string) error {
	var wrong problems
	c.dir = dir
	if len(c.Domain) == 0 {
		wrong.add("there is no [[domain]]: name at least one, with its hosts, or run postwhere setup")
	}
	c.completeNames(&wrong)
	if !transportName.MatchString(c.Postfix.Transport) || slices.Contains(refusingTransports, c.Postfix.Transport) {
		wrong.add("postfix.transport %q: want the name of a transport: smtp, or one that `postwhere postfix` is to make", c.Postfix.Transport)
	}
	c.completeHosts(dir, &wrong)
	for i := range c.Domain {
		c.Domain[i].readOwners(dir, &wrong)
	}
	if f := c.Cache.File; f != "" && !filepath.IsAbs(f) {
		c.Cache.File = filepath.Join(dir, f)
	}
	c.Cache.completeShared(dir, &wrong)
	c.completeProvisioning(dir, &wrong)
	if c.Probe.HeloName == "" {
		c.Probe.HeloName = ownName()
	}
	if len(c.MX.OwnNames) == 0 {
		c.MX.OwnNames = []string{ownName()}
	}
	c.Bypass.check(&wrong)
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
func (c *Config) completeHosts(dir string, wrong *problems) {
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
			wrong.add("[host.%q] is in no domain's hosts: want a host as it is spelled there, port included, or no such section", name)
		case name != mxName(name):
			wrong.add("[host.%q] is in no domain's hosts, and an MX host is called %q here", name, mxName(name))
		}
		if err := c.Host[name].complete(dir, c.Postfix.Transport, name); err != nil {
			wrong.add("host %q: %w", name, err)
		}
	}
	c.checkLastResorts(wrong)
}

// checkLastResorts: a domain has one last resort at most, and not by itself. What
// hosts a domain has by MX is not known here.
func (c *Config) checkLastResorts(wrong *problems) {
	for i, d := range c.Domain {
		var last []string
		for _, name := range d.Hosts {
			if c.Host[name].LastResort {
				last = append(last, name)
			}
		}
		switch {
		case len(last) > 1:
			wrong.add("domain %s has %d hosts with last_resort: %s: want one at most", d.title(i), len(last), strings.Join(last, ", "))
		case len(last) == 1 && len(d.Hosts) == 1:
			wrong.add("domain %s has no host but %s: last_resort is for what others have said no to", d.title(i), last[0])
		}
	}
}

// mxName returns the name that an MX host is known by.
func mxName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// ownName returns this machine's name as the world knows it.
func ownName() string {
	name, err := os.Hostname()
	if err != nil || !hostName.MatchString(name) {
		return "localhost"
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
