package config

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

var (
	// oneHop is a transport(5) value that leads to one host, with or without
	// brackets, and perhaps to a port.
	oneHop = regexp.MustCompile(`^([A-Za-z0-9_.-]*):(\[[^\[\]]+\]|[A-Za-z0-9_.-]+)(?::([0-9a-z]+))?$`)
	// mailerValue is what a mailertable has of Sendmail's: mailer, colon, host.
	// Neither quotes nor macros are let in, nor user@host, to whom all mail for
	// the host would go.
	mailerValue = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_]*):[A-Za-z0-9_.:/+\[\]-]+$`)
	portMailer  = regexp.MustCompile(`^esmtp([0-9a-z]+):`)
)

// mailerFor returns the value of Sendmail's that leads where a route does, "" if
// there is none: a mailer of Sendmail's has its port in its definition, so that
// each port but 25 is one of a name of its own, esmtp2525. Both spell a host
// that is not to be looked up by MX in brackets.
func mailerFor(route string) string {
	m := oneHop.FindStringSubmatch(route)
	if len(m) == 0 || m[1] == "lmtp" {
		return ""
	}
	host, port := m[2], m[3]
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && ip.Is6() {
		host = "[IPv6:" + ip.String() + "]"
	}
	if port == "25" || port == "smtp" {
		port = ""
	}
	return "esmtp" + port + ":" + host
}

// MailerPort returns the port in the name of a mailer that mailerFor has made up,
// "" for another one.
func (h *Host) MailerPort() string {
	if m := portMailer.FindStringSubmatch(h.Mailer); m != nil {
		return m[1]
	}
	return ""
}

// completeMailer gives the host a mailer by its route, or checks what is given.
func (h *Host) completeMailer(host string) error {
	if h.Mailer == "" {
		h.Mailer = mailerFor(h.Route)
		return nil
	}
	m := mailerValue.FindStringSubmatch(h.Mailer)
	switch {
	case m == nil || len(h.Mailer) > 200:
		return fmt.Errorf("mailer %q: want a value of Sendmail's mailertable such as esmtp:[%s]", h.Mailer, host)
	case m[1] == "error" || m[1] == "discard":
		return fmt.Errorf("mailer %q refuses or drops the mail of a mailbox that is there: want the way to it, such as esmtp:[%s]", h.Mailer, host)
	}
	return nil
}
