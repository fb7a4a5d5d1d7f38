package main

import (
	"slices"
	"time"
)

// hosts reports on each host of the day, in the order of domains and of preference.
func (d *daemon) hosts() []hostReport {
	w := d.enter()
	defer w.leave()
	all := []hostReport{}
	now := time.Now()
	for _, h := range w.allHosts() {
		r := reportOf(h, proberOf(h).State(), now)
		if since, drained := d.drained.of(h.Name); drained {
			r.State, r.Since = hostDrained, since.Format(time.RFC3339)
		}
		for _, domain := range w.domains {
			if slices.Contains(domain.Hosts(), h) {
				r.Domains = append(r.Domains, domain.Names[0])
			}
		}
		all = append(all, r)
	}
	return all
}
