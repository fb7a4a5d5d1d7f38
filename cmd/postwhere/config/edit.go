package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// The lines of an example domain in a configuration file, with the # before each.
var (
	exampleDomain = regexp.MustCompile(`^#\s*\[\[domain\]\]\s*$`)
	exampleKey    = regexp.MustCompile(`^#\s*([a-z_]+)\s*=`)
	tableHeader   = regexp.MustCompile(`^\s*\[`)
	domainHeader  = regexp.MustCompile(`^\s*\[\[\s*domain\s*\]\]`)
	hostHeader    = regexp.MustCompile(`^\s*\[\s*host\s*\.\s*(?:"([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*\]`)
)

// WithDomain returns a configuration file with a domain in it: in place of the
// example, or at the end. All else stays as it is written.
func WithDomain(text string, names, hosts []string) string {
	name, list := nameLine(names), hostsLine(hosts)
	lines := strings.SplitAfter(text, "\n")
	at := slices.IndexFunc(lines, func(line string) bool { return exampleDomain.MatchString(strings.TrimSuffix(line, "\n")) })
	if at < 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		return strings.TrimLeft(text+"\n[[domain]]\n"+name+"\n"+list+"\n", "\n")
	}
	lines[at] = "[[domain]]\n"
	missing := map[string]string{"name": name, "hosts": list}
	for i := at + 1; i < len(lines); i++ {
		m := exampleKey.FindStringSubmatch(lines[i])
		if m == nil {
			break
		}
		if said := missing[m[1]]; said != "" {
			lines[i] = said + "\n"
			delete(missing, m[1])
		}
	}
	for _, key := range []string{"hosts", "name"} {
		if said := missing[key]; said != "" {
			lines = slices.Insert(lines, at+1, said+"\n")
		}
	}
	return strings.Join(lines, "")
}

func nameLine(names []string) string {
	if len(names) == 1 {
		return "name  = " + quotedTOML(names)
	}
	return "name  = [" + quotedTOML(names) + "]"
}

func hostsLine(hosts []string) string {
	if len(hosts) == 0 {
		return "hosts = []                                 # the domain's MX hosts"
	}
	return "hosts = [" + quotedTOML(hosts) + "]"
}

// quotedTOML writes names that have no quotes and no control characters in them.
func quotedTOML(names []string) string {
	var quoted []string
	for _, n := range names {
		quoted = append(quoted, fmt.Sprintf("%q", n))
	}
	return strings.Join(quoted, ", ")
}

// WithoutDomains returns a configuration file without its domains, and without the
// sections of hosts that are not among those that stay. Comments before a section
// that stays do so, too.
func WithoutDomains(text string, hosts []string) string {
	var kept, idle []string // idle: comments of which it is not known whose they are
	dropping := false
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		switch {
		case tableHeader.MatchString(line):
			dropping = domainHeader.MatchString(line)
			if m := hostHeader.FindStringSubmatch(line); len(m) > 3 {
				dropping = !slices.Contains(hosts, m[1]+m[2]+m[3])
			}
			kept, idle = append(kept, idle...), nil
		case dropping && (bare == "" || bare[0] == '#'):
			idle = append(idle, line)
			continue
		case dropping:
			idle = nil
		}
		if !dropping {
			kept = append(kept, line)
		}
	}
	return strings.Join(append(kept, idle...), "")
}

// HasDomain tells whether a file was edited: it names a domain, or is no file that
// can be read.
func HasDomain(text []byte) bool {
	if strings.TrimSpace(string(text)) == "" {
		return false
	}
	domains, err := Domains(string(text))
	return err != nil || domains > 0
}

// Domains returns how many domains a text names, whatever else is in it. The error says
// that it is no TOML.
func Domains(text string) (int, error) {
	var c struct {
		Domain []map[string]any `toml:"domain"`
	}
	err := toml.Unmarshal([]byte(text), &c)
	return len(c.Domain), err
}
