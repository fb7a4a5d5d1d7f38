package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postwhere/policy"
)

const (
	// maxOwnersLine is far more than an address and a host can have.
	maxOwnersLine = 4096
	// maxOwnersWrong is how many wrong lines of one file are told: a file that
	// is something else altogether must not fill the log.
	maxOwnersWrong = 20
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
	f, err := openFile(path)
	if err != nil {
		wrong.add("domain %s: owners: %w", d.Name[0], err)
		return
	}
	defer f.Close()
	d.owners = d.parseOwners(path, f, wrong)
}

// openFile opens a regular file: a pipe would hold up the daemon until somebody
// writes into it.
func openFile(path string) (*os.File, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file", path)
	}
	return os.Open(path) //nolint:gosec // the administrator's choice
}

// parseOwners reads lines ADDRESS HOST. Empty lines and those that begin with #
// do not count. It adds what is wrong, line by line.
func (d *Domain) parseOwners(path string, in io.Reader, wrong *problems) map[string]string {
	owners := make(map[string]string)
	hosts := make(map[string]string) // each name once, not a million times
	for _, h := range d.Hosts {
		hosts[h] = h
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxOwnersLine)
	n, bad := 0, 0
	for lines.Scan() {
		n++
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := d.addOwner(owners, hosts, line); err == nil {
			continue
		} else if bad++; bad <= maxOwnersWrong {
			wrong.add("%s:%d: %w", path, n, err)
		}
	}
	if bad > maxOwnersWrong {
		wrong.add("%s: and %d more lines are wrong", path, bad-maxOwnersWrong)
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		wrong.add("%s:%d: a line of more than %d octets: want ADDRESS HOST", path, n+1, maxOwnersLine)
	case err != nil:
		wrong.add("%s: cannot be read: %w", path, err)
	}
	return owners
}

// addOwner adds what a line says. hosts has the names of hosts met so far.
func (d *Domain) addOwner(owners, hosts map[string]string, line []byte) error {
	// The host is the last word: a quoted local part may hold blanks.
	cut := bytes.LastIndexAny(line, " \t")
	if cut < 0 {
		return fmt.Errorf("want ADDRESS HOST, got %q", line)
	}
	address, name := string(bytes.TrimSpace(line[:cut])), line[cut+1:]
	a, err := policy.ParseAddress(address)
	if err != nil {
		return err
	}
	if !slices.Contains(d.Name, a.Domain()) {
		return fmt.Errorf("%s is not in the domain %s", address, d.Name[0])
	}
	host, known := hosts[string(name)]
	if !known {
		if len(d.Hosts) > 0 {
			return fmt.Errorf("%s is none of the domain's hosts: %s", name, strings.Join(d.Hosts, ", "))
		}
		host = string(name)
		hosts[host] = host
	}
	key := a.At(d.Name[0]).Key()
	if before := owners[key]; before != "" && before != host {
		return fmt.Errorf("%s is given to %s, and before to %s", address, host, before)
	}
	owners[key] = host
	return nil
}
