package policy

import "strings"

// probeMark begins the EHLO name of every probe, so that a host which runs
// postwhere itself does not search on behalf of a search.
const probeMark = "postwhere-"

// ProbeHelo returns the EHLO name that a probe introduces itself with: the mark,
// an instance id and the machine's own name.
func ProbeHelo(instance, hostname string) string {
	return probeMark + instance + "." + hostname
}

// isProbe tells whether a client that introduced itself so is a peer's probe.
//
// The mark is believed of any address. A peer may come from one that we do not
// know: through NAT, from a bind address, before DNS has told us its hosts', or as
// a front end that is nobody's host. If its probe began a search here, two front
// ends that list each other would ask in circles, each search waiting for itself
// until its deadline. Who lies gains that Postfix decides alone: nobody is refused
// for it, but he can have mail accepted that bounces.
func isProbe(helo string) bool {
	if len(helo) <= len(probeMark) || !strings.EqualFold(helo[:len(probeMark)], probeMark) {
		return false
	}
	id, name, ok := strings.Cut(helo[len(probeMark):], ".")
	return ok && id != "" && name != ""
}
