package main

import (
	"slices"
	"time"

	"postwhere/cmd/postwhere/world"
)

// hosts reports on each host of the day, in the order of domains and of preference.
func (d *daemon) hosts() []hostReport {
	w := d.enter()
	defer w.Leave()
	all := []hostReport{}
	now := time.Now()
	for _, h := range w.AllHosts() {
		r := reportOf(h, world.ProberOf(h).State(), now)
		if since, drained := d.drained.Of(h.Name); drained {
			r.State, r.Since = hostDrained, since.Format(time.RFC3339)
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
