package attach

import (
	"cmp"
	"net"
	"regexp"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
)

// Spelling is how Postfix names our listeners. The zero value is for a Postfix with
// the default queue directory.
type Spelling struct {
	// queue is queue_directory. Postfix's daemons may be chrooted there, and find
	// sockets below it by a relative path in either case.
	queue string
}

// SpellingFor returns the spelling of an instance.
func SpellingFor(conf postfix.Conf) Spelling { return Spelling{conf.Value("queue_directory")} }

// QueueDirectory returns where the sockets are that Postfix's daemons find by a relative
// path.
func (s Spelling) QueueDirectory() string { return cmp.Or(s.queue, "/var/spool/postfix") }

// Of returns a listener as a client of Postfix's must name it.
func (s Spelling) Of(l config.Listener) string {
	if path, ok := s.below(l); ok {
		return "unix:" + path
	}
	return l.String()
}

// below returns the path of a socket within the queue directory; ok is false if the
// listener is anything else.
func (s Spelling) below(l config.Listener) (path string, ok bool) {
	if l.Network != "unix" {
		return "", false
	}
	return strings.CutPrefix(l.Address, strings.TrimSuffix(s.QueueDirectory(), "/")+"/")
}

// all returns every way in which main.cf may name a listener, without inet: or tcp:.
func (s Spelling) all(l config.Listener) []string {
	if l.Network == "unix" {
		return slices.Compact([]string{s.Of(l), l.String()})
	}
	host, port, err := net.SplitHostPort(l.Address)
	if err != nil {
		return []string{l.Address}
	}
	hosts := []string{host}
	switch ip := net.ParseIP(host); {
	case ip.IsUnspecified(), host == "localhost":
		hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	case ip.IsLoopback():
		hosts = append(hosts, "localhost")
	}
	var all []string
	for _, h := range hosts {
		all = append(all, net.JoinHostPort(h, port))
		if !strings.Contains(h, ":") {
			all = append(all, "["+h+"]:"+port)
		}
	}
	return all
}

// Names tells whether a parameter's value names one of the listeners, with a suffix.
func (s Spelling) Names(value string, listen []config.Listener, suffix string) bool {
	for _, l := range listen {
		for _, at := range s.all(l) {
			if regexp.MustCompile(`(^|[^\w.\]])` + regexp.QuoteMeta(at+suffix) + `($|[^\w])`).MatchString(value) {
				return true
			}
		}
	}
	return false
}
