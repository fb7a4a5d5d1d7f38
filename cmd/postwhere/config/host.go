package config

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"postwhere/policy"
	"postwhere/probe"
)

// Host is what a host needs beyond its name.
type Host struct {
	// Probe is where to ask: [smtp:|lmtp:][inet:]HOST[:PORT], lmtp:unix:PATH, or
	// minger:HOST[:PORT]. Default smtp:inet:NAME:PORT, port 25 if NAME has none.
	Probe string `toml:"probe"`
	// Route is the transport(5) value. Default smtp:[NAME]:PORT.
	Route string `toml:"route"`
	// Mailer is Sendmail's mailer:host. Default esmtp:[NAME], or esmtpPORT:[NAME],
	// by Route; none if Route leads where that cannot.
	Mailer string `toml:"mailer"`
	// Method is auto (default), vrfy, rcpt or minger.
	Method probe.Method `toml:"method"`
	// VRFY252 is what a 252 to VRFY means: auto (default: yes if it repeats the
	// address, as Postfix does), yes, or unsure.
	VRFY252 probe.Meaning252 `toml:"vrfy_252"`
	// Connections is how many are open at once. Default 5.
	Connections Connections `toml:"connections"`
	// Rate is how many questions are put in a second. Default 0: any number.
	Rate int `toml:"rate"`
	// BindAddress is the address of this machine that connections come from.
	BindAddress string `toml:"bind_address"`
	// Control is an address that the host has, for one that refuses unknown
	// addresses without an enhanced code. Default postmaster at the domain.
	Control string `toml:"control"`
	// AliasDomain is the pseudo-domain of its mailboxes in the alias map. Default NAME.
	AliasDomain string `toml:"alias_domain"`
	// LastResort makes it own what every other host of the domain has said no to,
	// also while it accepts everything or is down. At most one of a domain. Default
	// false.
	LastResort bool `toml:"last_resort"`

	// TLS is none, may (default), encrypt or verify, as smtp_tls_security_level.
	TLS probe.TLSLevel `toml:"tls"`
	// TLSWrappermode is TLS from the first octet on, without STARTTLS (port 465).
	TLSWrappermode bool `toml:"tls_wrappermode"`
	// TLSName is what the certificate must say with tls = "verify". Default: the
	// host name in Probe.
	TLSName string `toml:"tls_name"`
	// TLSCAFile has the authorities of tls = "verify", in PEM. Default: the system's.
	TLSCAFile string `toml:"tls_ca_file"`
	// TLSFingerprints are SHA-256 fingerprints of the certificate, one of which
	// must match with tls = "verify", in place of name and authority.
	TLSFingerprints []string `toml:"tls_fingerprints"`

	// User is for AUTH. Default: none.
	User string `toml:"user"`
	// SecretFile has the password of AUTH, or the secret of Minger, in one line.
	SecretFile string `toml:"secret_file"`
}

// Connections is how many are open at once. Zero, which is not accepted in a file,
// stands for the default.
type Connections int

// refusingTransports are those of Postfix's that deliver nothing.
var refusingTransports = []string{"error", "retry", "discard"}

// HostOf returns the settings of a host that MX named, or that is in the file.
func (c *Config) HostOf(name string) (Host, error) {
	h := Host{}
	if known := c.Host[name]; known != nil {
		h = *known
	}
	err := h.complete(c.dir, c.Postfix.Transport, name)
	return h, err
}

// transportValue is transport(5)'s transport:nexthop, brackets closed, without
// what would break a line of a table; hostName is what may stand in front of an optional port.
var (
	transportValue = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_.-]*)?:(\[[\x21-\x5a\x5e-\x7e]+\](:[0-9a-z]+)?|[\x21-\x5a\x5c\x5e-\x7e]*)(, ?[\x21-\x7e]+)*$`)
	hostName       = regexp.MustCompile(`^[A-Za-z0-9_.-]+$|^[0-9A-Fa-f:.]+$`)
	transportName  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]*$`)
	fingerprint    = regexp.MustCompile(`^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$`)
)

// complete gives the host its defaults and checks it. Relative paths begin at dir,
// a default route leads through transport.
func (h *Host) complete(dir, transport, name string) error {
	host, port, err := probe.SplitHostPort(name)
	if err != nil {
		return err
	}
	if port == "" {
		port = "25"
	}
	if h.Probe == "" {
		h.Probe = "smtp:inet:" + net.JoinHostPort(host, port)
		if h.Method == probe.Minger {
			h.Probe = "minger:" + host
		}
	}
	if h.Route == "" {
		h.Route = transport + ":[" + host + "]:" + port
	}
	if h.AliasDomain == "" {
		h.AliasDomain = host
	}
	if h.Connections == 0 {
		h.Connections = 5
	}
	endpoint, err := probe.ParseEndpoint(h.Probe)
	mailer, nexthop, _ := strings.Cut(h.Route, ":")
	switch {
	case err != nil:
		return fmt.Errorf("probe: %w", err)
	case !hostName.MatchString(host):
		return fmt.Errorf("%q is no host name: want NAME or NAME:PORT", host)
	case !transportValue.MatchString(h.Route) || len(h.Route) > 1000 || h.Route == ":": // ":" is the MX, and that is us
		return fmt.Errorf("route %q: want a transport(5) value such as smtp:[%s]:25", h.Route, host)
	case slices.Contains(refusingTransports, mailer):
		return fmt.Errorf("route %q refuses or drops the mail of a mailbox that is there: want the way to it, such as smtp:[%s]:25", h.Route, host)
	case (mailer == "smtp" || mailer == "lmtp") && nexthop == "":
		return fmt.Errorf("route %q goes nowhere: want a transport(5) value such as smtp:[%s]:25", h.Route, host)
	case h.Connections < 1 || h.Connections > 50:
		return fmt.Errorf("connections = %d: want 1 to 50, which is what Postfix grants a client", h.Connections)
	case h.Rate < 0:
		return fmt.Errorf("rate = %d: want questions a second, or 0 for any number", h.Rate)
	case (endpoint.Network == probe.MingerNetwork) != (h.Method == probe.Minger) && (h.Method != probe.Auto || endpoint.Network != probe.MingerNetwork):
		return fmt.Errorf("method %q does not go with probe %q: Minger is asked at minger:HOST, the others by smtp or lmtp", h.Method, h.Probe)
	case endpoint.Network == probe.MingerNetwork && h.VRFY252 != probe.EchoMeansYes:
		return fmt.Errorf("vrfy_252 %q does not go with probe %q: Minger has no VRFY", h.VRFY252, h.Probe)
	}
	if name, err := policy.NormalDomain(h.AliasDomain); h.AliasDomain != host && (err != nil || !hostName.MatchString(name)) {
		return fmt.Errorf("alias_domain %q: want a domain name", h.AliasDomain)
	}
	if h.Control != "" {
		if _, err := policy.ParseAddress(h.Control); err != nil {
			return fmt.Errorf("control: %w", err)
		}
	}
	if err := h.checkBindAddress(endpoint); err != nil {
		return err
	}
	if err := h.completeMailer(host); err != nil {
		return err
	}
	return h.completeSecurity(dir, endpoint)
}

// checkBindAddress looks whether a connection to the endpoint can come from there.
func (h *Host) checkBindAddress(to probe.Endpoint) error {
	if h.BindAddress == "" {
		return nil
	}
	from, err := netip.ParseAddr(h.BindAddress)
	if err != nil {
		return fmt.Errorf("bind_address %q: want an IP address of this machine", h.BindAddress)
	}
	if to.Network == "unix" {
		return fmt.Errorf("bind_address %q does not go with the socket %s", h.BindAddress, to.Address)
	}
	host, _, _ := net.SplitHostPort(to.Address)
	if ip, err := netip.ParseAddr(host); err == nil && ip.Unmap().Is4() != from.Unmap().Is4() {
		return fmt.Errorf("bind_address %q: %s cannot be reached from there, one is IPv4 and the other IPv6", h.BindAddress, host)
	}
	return nil
}

func (h *Host) completeSecurity(dir string, at probe.Endpoint) error {
	for _, file := range []*string{&h.TLSCAFile, &h.SecretFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
	}
	if h.TLSName == "" && at.Network == "tcp" {
		h.TLSName, _, _ = net.SplitHostPort(at.Address)
	}
	for _, f := range h.TLSFingerprints {
		if !fingerprint.MatchString(f) {
			return fmt.Errorf("tls_fingerprints %q: want a SHA-256 fingerprint, 32 octets in hex", f)
		}
	}
	if at.Network == probe.MingerNetwork && (h.User != "" || h.TLSWrappermode || h.TLS != probe.TLSMay) {
		return fmt.Errorf("tls, tls_wrappermode and user are for SMTP and LMTP: Minger has but a shared secret, in secret_file")
	}
	verifies := len(h.TLSFingerprints) > 0 || h.TLSCAFile != ""
	switch {
	case verifies && h.TLS != probe.TLSVerify:
		return fmt.Errorf("tls_ca_file and tls_fingerprints need tls = \"verify\"")
	case h.User != "" && h.SecretFile == "":
		return fmt.Errorf("user %q needs secret_file, with the password", h.User)
	case h.User == "" && h.SecretFile != "" && at.Network != probe.MingerNetwork:
		return fmt.Errorf("secret_file needs user")
	case h.User != "" && !h.TLSWrappermode && h.TLS != probe.TLSEncrypt && h.TLS != probe.TLSVerify && at.Network != "unix":
		return fmt.Errorf("user needs tls = \"encrypt\" or \"verify\": the password would go over the network for all to read")
	}
	_, err := h.Security()
	return err
}

// Security returns the part of the settings that protects connections, with the
// files read.
func (h *Host) Security() (probe.Security, error) {
	s := probe.Security{
		Level: h.TLS, Wrapper: h.TLSWrappermode, Name: h.TLSName,
		Fingerprints: h.TLSFingerprints, User: h.User,
	}
	if h.TLSCAFile != "" {
		pem, err := readFile(h.TLSCAFile)
		if err != nil {
			return s, fmt.Errorf("tls_ca_file: %w", err)
		}
		s.Roots = x509.NewCertPool()
		if !s.Roots.AppendCertsFromPEM(pem) {
			return s, fmt.Errorf("tls_ca_file %s: there is no certificate in it, want PEM", h.TLSCAFile)
		}
	}
	secret, err := h.Secret()
	s.Secret = secret
	return s, err
}

// readFile returns what is in a regular file of modest size.
func readFile(path string) ([]byte, error) {
	const most = 1 << 20
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if len(text) > most {
		return nil, fmt.Errorf("%s: more than %d octets", path, most)
	}
	return text, err
}

// Secret returns what is in the secret's file.
func (h *Host) Secret() (string, error) {
	if h.SecretFile == "" {
		return "", nil
	}
	text, err := readFile(h.SecretFile)
	if err != nil {
		return "", fmt.Errorf("secret_file: %w", err)
	}
	secret, ok := secretIn(text)
	if !ok {
		return "", fmt.Errorf("secret_file %s: want the secret in one line", h.SecretFile)
	}
	return secret, nil
}

// secretIn returns the secret of a file that has it in one line, and nothing else.
func secretIn(text []byte) (secret string, ok bool) {
	secret = strings.TrimRight(string(text), "\r\n")
	return secret, secret != "" && !strings.ContainsAny(secret, "\r\n\x00")
}
