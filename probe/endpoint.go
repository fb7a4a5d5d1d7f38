package probe

import (
	"fmt"
	"net"
	"slices"
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
	Minger
)

var methods = []string{"auto", "vrfy", "rcpt", "minger"}

// String returns the method's name in the configuration.
func (m Method) String() string { return methods[m] }

// MarshalText returns the name that String returns.
func (m Method) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name that String returns.
func (m *Method) UnmarshalText(text []byte) error {
	i := slices.Index(methods, string(text))
	if i < 0 {
		return fmt.Errorf("method %q: want auto, vrfy, rcpt or minger", text)
	}
	*m = Method(i)
	return nil
}

// Meaning252 is what a 252 to VRFY says of a mailbox.
type Meaning252 uint8

// The meanings. EchoMeansYes is the zero value: so Postfix says that it knows the
// mailbox, while others say it of all that they will not tell.
const (
	EchoMeansYes Meaning252 = iota // yes if it repeats the address, else ask by RCPT
	AlwaysYes                      // yes, from a host that refuses nonsense
	NeverYes                       // ask by RCPT
)

var meanings252 = []string{"auto", "yes", "unsure"}

// String returns the meaning's name in the configuration.
func (m Meaning252) String() string { return meanings252[m] }

// UnmarshalText reads the name that String returns.
func (m *Meaning252) UnmarshalText(text []byte) error {
	i := slices.Index(meanings252, string(text))
	if i < 0 {
		return fmt.Errorf("vrfy_252 %q: want auto, yes or unsure", text)
	}
	*m = Meaning252(i)
	return nil
}

// Endpoint is where a host is asked.
type Endpoint struct {
	LMTP    bool   // LMTP (RFC 2033) instead of SMTP
	Network string // "tcp", "unix" or MingerNetwork
	Address string // host:port, or a path
}

// String returns the endpoint as ParseEndpoint reads it.
func (e Endpoint) String() string {
	protocol, network := "smtp", "inet"
	switch {
	case e.LMTP:
		protocol = "lmtp"
	case e.Network == MingerNetwork:
		protocol = "minger"
	}
	if e.Network == "unix" {
		network = "unix"
	}
	return protocol + ":" + network + ":" + e.Address
}

const (
	unixPrefix   = "unix:"
	mingerPrefix = "minger:"
)

// ParseEndpoint reads [smtp:|lmtp:][inet:]HOST[:PORT] or [smtp:|lmtp:]unix:PATH.
// The port is 25 for SMTP if none is given, 24 for LMTP; an IPv6 address with a
// port stands in brackets.
func ParseEndpoint(s string) (Endpoint, error) {
	if strings.HasPrefix(s, mingerPrefix) {
		return ParseMingerEndpoint(s)
	}
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
