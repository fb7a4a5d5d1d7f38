package config

import (
	"fmt"
	"net"
	"path/filepath"
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

// maxSocketPath is what fits in sockaddr_un with its final zero (unix(7)).
const maxSocketPath = 107

// unfitForMainCF tells whether a character means something to Postfix where it
// reads a listener's address, or to the shell before that.
func unfitForMainCF(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"'`,$\\{}", r)
}

// UnmarshalText reads inet:HOST:PORT or unix:/PATH.
func (l *Listener) UnmarshalText(text []byte) error {
	s := string(text)
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		switch {
		case !strings.HasPrefix(path, "/"):
			return fmt.Errorf("listener %q: want an absolute path, unix:/PATH", s)
		case len(path) > maxSocketPath:
			return fmt.Errorf("listener %q: want a path of at most %d octets", s, maxSocketPath)
		case strings.ContainsFunc(path, unfitForMainCF):
			return fmt.Errorf("listener %q: want a path that main.cf can name, without blanks, quotes, commas, $ and braces", s)
		}
		*l = Listener{"unix", filepath.Clean(path)}
		return nil
	}
	address, ok := strings.CutPrefix(s, "inet:")
	host, port, err := net.SplitHostPort(address)
	n, perr := strconv.ParseUint(port, 10, 16)
	switch {
	case !ok || err != nil || perr != nil:
		return fmt.Errorf("listener %q: want inet:HOST:PORT or unix:/PATH", s)
	case host == "":
		return fmt.Errorf("listener %q: name the address to listen on; 127.0.0.1 for this machine alone", s)
	case !hostName.MatchString(host):
		return fmt.Errorf("listener %q: %q is no host", s, host)
	}
	*l = Listener{"tcp", net.JoinHostPort(host, strconv.FormatUint(n, 10))}
	return nil
}

// AnyPort tells whether the system is to choose the port.
func (l Listener) AnyPort() bool { return l.Network == "tcp" && strings.HasSuffix(l.Address, ":0") }

// String returns the listener in Postfix's spelling.
func (l Listener) String() string {
	if l.Network == "unix" {
		return "unix:" + l.Address
	}
	return "inet:" + l.Address
}

// Unsure is the verdict at the door where the hosts are unsure: policy.Defer, the
// zero value, or policy.Pass.
type Unsure policy.Verdict

// UnmarshalText reads defer or pass.
func (u *Unsure) UnmarshalText(text []byte) error {
	switch string(text) {
	case policy.Defer.String():
		*u = Unsure(policy.Defer)
	case policy.Pass.String():
		*u = Unsure(policy.Pass)
	default:
		return fmt.Errorf("unsure %q: want defer or pass", text)
	}
	return nil
}

// String returns the verdict's word.
func (u Unsure) String() string { return policy.Verdict(u).String() }

// SMTPReply is a reply to be given to a client.
type SMTPReply struct{ policy.Reply }

var smtpReply = regexp.MustCompile(`^([45]\d\d) ([45]\.(?:0|[1-9]\d{0,2})\.(?:0|[1-9]\d{0,2})) ([\x20-\x7e]{1,400})$`)

// UnmarshalText reads "CODE ENHANCED-CODE TEXT", all three, in one line.
func (r *SMTPReply) UnmarshalText(text []byte) error {
	m := smtpReply.FindStringSubmatch(string(text))
	if len(m) == 0 || m[1][0] != m[2][0] || strings.TrimSpace(m[3]) == "" {
		return fmt.Errorf("reply %q: want code, enhanced code and text in one line: \"550 5.1.1 User unknown\"", text)
	}
	code, err := strconv.Atoi(m[1])
	if err != nil || code == 421 || code == 521 {
		return fmt.Errorf("reply %q: to 421 and 521 Postfix hangs up, for the other recipients as well", text)
	}
	r.Reply = policy.Reply{Code: code, Enhanced: m[2], Text: m[3]}
	return nil
}
