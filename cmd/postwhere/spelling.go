package main

import (
	"net"
	"regexp"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/postfix"
)

// queueDirectory is Postfix's default.
const queueDirectory = "/var/spool/postfix"

// spelling is how Postfix names our listeners. The zero value is for a Postfix with
// the default queue directory.
type spelling struct {
	// queue is queue_directory. Postfix's daemons may be chrooted there, and find
	// sockets below it by a relative path in either case.
	queue string
}

// spellingFor returns the spelling of an instance.
func spellingFor(conf postfix.Conf) spelling { return spelling{conf.Value("queue_directory")} }

// of returns a listener as a client of Postfix's must name it.
func (s spelling) of(l config.Listener) string {
	if path, ok := s.below(l); ok {
		return "unix:" + path
	}
	return l.String()
}

// below returns the path of a socket within the queue directory; ok is false if the
// listener is anything else.
func (s spelling) below(l config.Listener) (path string, ok bool) {
	if l.Network != "unix" {
		return "", false
	}
	queue := s.queue
	if queue == "" {
		queue = queueDirectory
	}
	return strings.CutPrefix(l.Address, strings.TrimSuffix(queue, "/")+"/")
}

// all returns every way in which main.cf may name a listener, without inet: or tcp:.
func (s spelling) all(l config.Listener) []string {
	if l.Network == "unix" {
		return slices.Compact([]string{s.of(l), l.String()})
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

// names tells whether a parameter's value names one of the listeners, with a suffix.
func (s spelling) names(value string, listen []config.Listener, suffix string) bool {
	for _, l := range listen {
		for _, at := range s.all(l) {
			if regexp.MustCompile(`(^|[^\w.\]])` + regexp.QuoteMeta(at+suffix) + `($|[^\w])`).MatchString(value) {
				return true
			}
		}
	}
	return false
}
