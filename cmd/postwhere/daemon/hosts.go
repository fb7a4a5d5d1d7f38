package daemon

import (
	"slices"
	"time"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/world"
)

// Hosts reports on each host of the day, in the order of domains and of preference.
func (d *Daemon) Hosts() []control.HostReport {
	w := d.enter()
	defer w.Leave()
	all := []control.HostReport{}
	now := time.Now()
	for _, h := range w.AllHosts() {
		r := control.ReportOf(h, world.ProberOf(h).State(), now)
		if since, drained := d.drained.Of(h.Name); drained {
			r.State, r.Since = control.HostDrained, since.Format(time.RFC3339)
		}
		for _, domain := range w.Domains {
			if slices.Contains(domain.Hosts(), h) {
				r.Domains = append(r.Domains, domain.Names[0])
			}
		}
		all = append(all, r)
	}
	return all
}
