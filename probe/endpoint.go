package probe

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Method is how a host is asked.
type Method uint8

// The methods. Auto is VRFY where it tells, else RCPT.
const (
	Auto Method = iota
	VRFY
	RCPT
)

// String returns the method's name in the configuration.
func (m Method) String() string { return [...]string{"auto", "vrfy", "rcpt"}[m] }

// UnmarshalText reads the name that String returns.
func (m *Method) UnmarshalText(text []byte) error {
	for _, known := range []Method{Auto, VRFY, RCPT} {
		if string(text) == known.String() {
			*m = known
			return nil
		}
	}
	return fmt.Errorf("method %q: want auto, vrfy or rcpt", text)
}

// Endpoint is where a host is asked.
type Endpoint struct {
	LMTP    bool   // LMTP (RFC 2033) instead of SMTP
	Network string // "tcp" or "unix"
	Address string // host:port, or a path
}

// String returns the endpoint as ParseEndpoint reads it.
func (e Endpoint) String() string {
	protocol, network := "smtp", "inet"
	if e.LMTP {
		protocol = "lmtp"
	}
	if e.Network == "unix" {
		network = "unix"
	}
	return protocol + ":" + network + ":" + e.Address
}

const unixPrefix = "unix:"

// ParseEndpoint reads [smtp:|lmtp:][inet:]HOST[:PORT] or [smtp:|lmtp:]unix:PATH.
// The port is 25 for SMTP if none is given, 24 for LMTP; an IPv6 address with a
// port stands in brackets.
func ParseEndpoint(s string) (Endpoint, error) {
	e := Endpoint{Network: "tcp"}
	rest, lmtp := strings.CutPrefix(s, "lmtp:")
	rest, _ = strings.CutPrefix(rest, "smtp:")
	e.LMTP = lmtp
	if path, ok := strings.CutPrefix(rest, unixPrefix); ok {
		if !strings.HasPrefix(path, "/") {
			return e, fmt.Errorf("endpoint %q: want an absolute path behind %s", s, unixPrefix)
		}
		e.Network, e.Address = "unix", path
		return e, nil
	}
	rest, _ = strings.CutPrefix(rest, "inet:")
	port := "25"
	if lmtp {
		port = "24"
	}
	host, given, err := SplitHostPort(rest)
	if err != nil {
		return e, fmt.Errorf("endpoint %q: %w", s, err)
	}
	if given != "" {
		port = given
	}
	e.Address = net.JoinHostPort(host, port)
	return e, nil
}

// SplitHostPort takes HOST, HOST:PORT, [HOST], [HOST]:PORT or an IPv6 address
// apart; port is "" if none was given.
func SplitHostPort(s string) (host, port string, err error) {
	switch {
	case net.ParseIP(s) != nil:
		host = s
	case strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]"):
		host = s[1 : len(s)-1]
	case !strings.Contains(s, ":"):
		host = s
	default:
		if host, port, err = net.SplitHostPort(s); err != nil {
			return "", "", fmt.Errorf("%q: want HOST or HOST:PORT", s)
		}
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", "", fmt.Errorf("%q: port %q: want 1 to 65535", s, port)
		}
	}
	if host == "" || strings.ContainsAny(host, " \t\r\n/@<>[]") {
		return "", "", fmt.Errorf("%q: no host name in it", s)
	}
	return host, port, nil
}
