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
func isProbe(helo string) bool {
	id, name, ok := strings.Cut(strings.TrimPrefix(strings.ToLower(helo), probeMark), ".")
	return ok && len(helo) > len(probeMark) && strings.EqualFold(helo[:len(probeMark)], probeMark) && id != "" && name != ""
}
