package daemon

import (
	"errors"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
)

// noHostError: no domain has a host of that name.
type noHostError struct {
	name  string
	known []string
}

func (e noHostError) Error() string {
	if len(e.known) == 0 {
		return "there is no host " + maillog.Printable(e.name) + ": no domain's hosts are known yet"
	}
	return "there is no host " + maillog.Printable(e.name) + ": the hosts are " + strings.Join(e.known, ", ")
}

// Drain takes hosts out of the asking, or back in. If it knows one of them not, it
// changes nothing, and returns an error that says so. It may be called concurrently.
func (d *Daemon) Drain(names []string, drained bool) ([]control.Drainage, error) {
	if len(names) == 0 {
		return nil, errors.New("which hosts?")
	}
	w := d.enter()
	defer w.Leave()
	hosts := w.AllHosts()
	for _, name := range names {
		_, was := d.drained.Of(name) // a host may be gone, and its name drained yet
		if !was && !slices.ContainsFunc(hosts, func(h *policy.Host) bool { return h.Name == name }) {
			return nil, noHostError{name, namesOfHosts(hosts)}
		}
	}
	changed := d.drained.Set(names, drained)
	for _, h := range hosts {
		if drained && slices.Contains(changed, h.Name) {
			world.ProberOf(h).CloseIdle()
		}
	}
	if len(changed) > 0 {
		// What the host said before stands beside no new answer, and when it is back it
		// is asked at once.
		d.memory.ForgetStrangers()
	}
	var all []control.Drainage
	for _, name := range names {
		since, _ := d.drained.Of(name)
		one := control.Drainage{Host: name, Drained: drained, Changed: slices.Contains(changed, name), Since: since, Then: w.WithoutHost(name)}
		if one.Changed {
			d.log.Warn(becomes(drained), "host", name)
		}
		all = append(all, one)
	}
	return all, nil
}

// becomes says what has become of a host, for the log.
func becomes(drained bool) string {
	if drained {
		return "host is drained: it is unsure until it is undrained, or the daemon is started again"
	}
	return "host is asked again"
}

func namesOfHosts(hosts []*policy.Host) []string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = h.Name
	}
	return names
}
