// Package postfix reads the configuration of one Postfix of this machine and
// changes it: by postconf(1), on a copy of main.cf and master.cf, which is put in
// place as a whole or not at all. It knows nothing of what is to be configured.
package postfix

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Conf is what main.cf and master.cf of an instance say. The zero value is a
// Postfix of which nothing is known: no parameter has a value, and there is no
// service. It is not changed once it is read, and may be used concurrently.
type Conf struct {
	Dir      string // config_directory
	Services []Service

	raw, expanded map[string]string
}

// Directory returns the configuration directory that Postfix's commands take by
// themselves: MAIL_CONFIG, or the compiled-in one.
func Directory(ctx context.Context) (string, error) {
	lines, err := postconf(ctx, "", "-h", "config_directory")
	if err != nil {
		return "", err
	}
	return lines[0], nil
}

// Read reads the parameters and all services of the instance in dir, "" for the one
// that Postfix's commands take. An error says why there is no such configuration,
// or which parameters this Postfix does not know.
func Read(ctx context.Context, dir string, parameters ...string) (Conf, error) {
	c := Conf{raw: make(map[string]string), expanded: make(map[string]string)}
	parameters = append([]string{"config_directory"}, parameters...)
	written, err := values(ctx, dir, "-h", parameters)
	if err != nil {
		return c, err
	}
	meant, err := values(ctx, dir, "-hx", parameters)
	if err != nil {
		return c, err
	}
	standard, err := values(ctx, dir, "-dh", parameters)
	if err != nil {
		return c, err
	}
	for i, name := range parameters {
		c.raw[name], c.expanded[name] = written[i], strings.TrimSpace(meant[i])
		// Such as relay_domains, whose default is an expression that means nothing
		// but to a Postfix of old times.
		if written[i] == standard[i] && c.expanded[name] == "" {
			c.raw[name] = ""
		}
	}
	c.Dir = c.raw["config_directory"]
	lines, err := postconf(ctx, dir, "-M")
	if err != nil {
		return c, err
	}
	c.Services = parseServices(lines)
	return c, nil
}

// ReadOwn reads parameters that Postfix itself does not know: they are empty unless
// main.cf gives them a value and something refers to them.
func (c *Conf) ReadOwn(ctx context.Context, parameters ...string) error {
	for _, name := range parameters {
		lines, err := postconf(ctx, c.Dir, "-h", name)
		if err != nil {
			return err
		}
		c.raw[name], c.expanded[name] = lines[0], lines[0]
	}
	return nil
}

// Raw returns a parameter as it is written, "" if it is empty, by default too.
func (c Conf) Raw(parameter string) string { return c.raw[parameter] }

// Value returns a parameter with what it refers to filled in.
func (c Conf) Value(parameter string) string { return c.expanded[parameter] }

// Service returns the service of a name and type; ok is false if there is none.
func (c Conf) Service(key string) (s Service, ok bool) {
	i := slices.IndexFunc(c.Services, func(s Service) bool { return s.Key() == key })
	if i < 0 {
		return s, false
	}
	return c.Services[i], true
}

// values returns a line for each parameter.
func values(ctx context.Context, dir, how string, parameters []string) ([]string, error) {
	lines, err := postconf(ctx, dir, append([]string{how}, parameters...)...)
	if err == nil && len(lines) != len(parameters) {
		err = errors.New("postconf does not know all that was asked for")
	}
	return lines, err
}

// postconf runs postconf(1) on the instance in dir and returns the lines that it
// prints.
func postconf(ctx context.Context, dir string, args ...string) ([]string, error) {
	out, err := run(ctx, dir, "postconf", args...)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(out, "\n"), "\n"), nil
}

// run runs a program of Postfix's on the instance in dir, "" for its own choice.
// The error has what it said.
func run(ctx context.Context, dir, name string, args ...string) (string, error) {
	path, err := Program(name)
	if err != nil {
		return "", err
	}
	if dir != "" {
		args = append([]string{"-c", dir}, args...)
	}
	// A file that was just changed is read again after pauses (dict_load_file_xt).
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var said strings.Builder
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // our own words
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		if text := strings.TrimSpace(said.String()); text != "" {
			return "", errors.New(text)
		}
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return string(out), nil
}

// Program returns the path of a program of Postfix's, which may not be in PATH.
func Program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
			return "", fmt.Errorf("there is no %s here", name)
		}
	}
	return path, nil
}
