package config

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postwhere/policy"
)

// OwnerList returns the domain's list of owners, as policy.Domain has it.
func (d *Domain) OwnerList() map[string]string { return d.owners }

// readOwners reads the domain's file of owners; a relative path begins where the
// configuration lies.
func (d *Domain) readOwners(dir string, wrong *problems) {
	if d.Owners == "" || len(d.Name) == 0 {
		return
	}
	path := d.Owners
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.Open(path) //nolint:gosec // the administrator's choice
	if err != nil {
		wrong.add("domain %s: owners: %w", d.Name[0], err)
		return
	}
	defer f.Close() //nolint:errcheck // only read
	d.owners = d.parseOwners(path, f, wrong)
}

// parseOwners reads lines ADDRESS HOST. Empty lines and those that begin with #
// do not count. It adds all that is wrong, line by line.
func (d *Domain) parseOwners(path string, in io.Reader, wrong *problems) map[string]string {
	owners := make(map[string]string)
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		// The host is the last word: a quoted local part may hold blanks.
		cut := strings.LastIndexAny(line, " \t")
		if cut < 0 {
			wrong.add("%s:%d: want ADDRESS HOST, got %q", path, n, line)
			continue
		}
		address, host := strings.TrimSpace(line[:cut]), line[cut+1:]
		a, err := policy.ParseAddress(address)
		switch key := a.At(d.Name[0]).Key(); {
		case err != nil:
			wrong.add("%s:%d: %w", path, n, err)
		case !slices.Contains(d.Name, a.Domain()):
			wrong.add("%s:%d: %s is not in the domain %s", path, n, address, d.Name[0])
		case len(d.Hosts) > 0 && !slices.Contains(d.Hosts, host):
			wrong.add("%s:%d: %s is none of the domain's hosts: %s", path, n, host, strings.Join(d.Hosts, ", "))
		case owners[key] != "" && owners[key] != host:
			wrong.add("%s:%d: %s is given to %s, and before to %s", path, n, address, host, owners[key])
		default:
			owners[key] = host
		}
	}
	if err := lines.Err(); err != nil {
		wrong.add("%s: %w", path, fmt.Errorf("cannot be read: %w", err))
	}
	return owners
}
