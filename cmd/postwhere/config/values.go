package config

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"postwhere/policy"
)

// Names is one name or a list of them.
type Names []string

// UnmarshalText reads a single name; the decoder itself reads a list.
func (n *Names) UnmarshalText(text []byte) error {
	*n = Names{string(text)}
	return nil
}

// Duration is a time in Postfix's units: "10s", "5m", "1h", "7d", "2w", also
// "250ms", or several of them in a row.
type Duration time.Duration

var durationPart = regexp.MustCompile(`^(\d{1,9})(ms|s|m|h|d|w)`)

var units = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

// UnmarshalText reads the form above.
func (d *Duration) UnmarshalText(text []byte) error {
	var sum time.Duration
	rest := string(text)
	for {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return fmt.Errorf("time %q: want a number and a unit: ms, s, m, h, d or w", text)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil || time.Duration(n) > (1<<62)/units[m[2]]-sum/units[m[2]] {
			return fmt.Errorf("time %q is too long", text)
		}
		sum += time.Duration(n) * units[m[2]]
		if rest = rest[len(m[0]):]; rest == "" {
			*d = Duration(sum)
			return nil
		}
	}
}

// String returns the time in the largest units that fit.
func (d Duration) String() string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := time.Duration(d)
	for _, unit := range []string{"w", "d", "h", "m", "s", "ms"} {
		if n := rest / units[unit]; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, unit)
			rest %= units[unit]
		}
	}
	return b.String()
}

// Listener is an address to listen on, in Postfix's spelling.
type Listener struct {
	Network string // "tcp" or "unix"
	Address string // host:port, or an absolute path
}

// UnmarshalText reads inet:HOST:PORT or unix:/PATH.
func (l *Listener) UnmarshalText(text []byte) error {
	s := string(text)
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if !strings.HasPrefix(path, "/") {
			return fmt.Errorf("listener %q: want an absolute path behind unix:", s)
		}
		*l = Listener{"unix", path}
		return nil
	}
	address, ok := strings.CutPrefix(s, "inet:")
	if !ok {
		return fmt.Errorf("listener %q: want inet:HOST:PORT or unix:/PATH", s)
	}
	host, port, err := net.SplitHostPort(address)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || n < 0 || n > 65535 {
		return fmt.Errorf("listener %q: want inet:HOST:PORT or unix:/PATH", s)
	}
	if host == "" {
		return fmt.Errorf("listener %q: name the address to listen on; 127.0.0.1 for this machine alone", s)
	}
	*l = Listener{"tcp", address}
	return nil
}

// String returns the listener in Postfix's spelling.
func (l Listener) String() string {
	if l.Network == "unix" {
		return "unix:" + l.Address
	}
	return "inet:" + l.Address
}

// SMTPReply is a reply to be given to a client.
type SMTPReply struct{ policy.Reply }

var smtpReply = regexp.MustCompile(`^([45]\d\d) ([45]\.\d{1,3}\.\d{1,3}) ([ -~]{1,400})$`)

// UnmarshalText reads "CODE ENHANCED-CODE TEXT", all three, in one line.
func (r *SMTPReply) UnmarshalText(text []byte) error {
	m := smtpReply.FindStringSubmatch(string(text))
	if m == nil || m[1][0] != m[2][0] || strings.TrimSpace(m[3]) == "" {
		return fmt.Errorf("reply %q: want code, enhanced code and text in one line: \"550 5.1.1 User unknown\"", text)
	}
	code, err := strconv.Atoi(m[1])
	if err != nil || code == 421 || code == 521 {
		return fmt.Errorf("reply %q: to 421 and 521 Postfix hangs up, for the other recipients as well", text)
	}
	r.Reply = policy.Reply{Code: code, Enhanced: m[2], Text: m[3]}
	return nil
}
