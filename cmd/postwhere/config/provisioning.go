package config

import (
	"net"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
)

// Provisioning is for the listeners at which a provisioning system has addresses
// forgotten.
type Provisioning struct {
	// TokenFile has, in one line, the token that a request must carry. Empty: none
	// is asked for, which only a socket and a loopback address may have.
	TokenFile string `toml:"token_file"`

	token string
}

// Token returns what is in TokenFile, "" if there is none.
func (p Provisioning) Token() string { return p.token }

// bearerToken is what a header can carry (RFC 6750 section 2.1), and so long that
// nobody guesses it.
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9._~+/-]{16,1000}=*$`)

// completeProvisioning reads the token, and checks that it is there where anybody
// could ask.
func (c *Config) completeProvisioning(dir string, wrong *problems) {
	p := &c.Provisioning
	if p.TokenFile == "" {
		for _, l := range c.Listen.Provisioning {
			if !l.Local() {
				wrong.add("listen.provisioning %s can be reached from other machines: say provisioning.token_file, or listen on a loopback address or unix:/PATH", l)
			}
		}
		return
	}
	if len(c.Listen.Provisioning) == 0 {
		wrong.add("listen.provisioning is empty: provisioning.token_file is for its listeners")
		return
	}
	if !filepath.IsAbs(p.TokenFile) {
		p.TokenFile = filepath.Join(dir, p.TokenFile)
	}
	text, err := readFile(p.TokenFile)
	p.token, _ = secretIn(text)
	switch {
	case err != nil:
		wrong.add("provisioning.token_file: %w", err)
	case !bearerToken.MatchString(p.token):
		wrong.add("provisioning.token_file %s: want a token of 16 characters or more in one line, of letters, digits and -._~+/, such as `openssl rand -hex 32` prints", p.TokenFile)
	}
}

// Local tells whether only this machine reaches the listener. A name, but for
// localhost (RFC 6761 section 6.3), is not known to be this machine's.
func (l Listener) Local() bool {
	if l.Network == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(l.Address)
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
