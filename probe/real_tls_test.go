package probe

import (
	"crypto/rand"
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// tlsPort is what main.cf needs for TLS with the certificate of tlsHost.
var tlsPort = map[string]string{
	"smtpd_tls_security_level":         "may",
	"smtpd_tls_chain_files":            "$config_directory/chain.pem",
	"smtpd_tls_loglevel":               "1",
	"smtpd_tls_session_cache_database": "", // tickets only, as it comes
}

// noCommonCipher lets Postfix offer TLS, in which it and we agree on nothing.
var noCommonCipher = map[string]string{
	"smtpd_tls_protocols": "TLSv1.2", "smtpd_tls_mandatory_protocols": "TLSv1.2",
	"tls_high_cipherlist": "ECDHE-ECDSA-AES256-CCM8", "tls_medium_cipherlist": "ECDHE-ECDSA-AES256-CCM8",
}

// tlsHost starts a Postfix with mailboxes and a certificate.
func tlsHost(t *testing.T, c certificate, main ...map[string]string) *realhost.Host {
	t.Helper()
	cfg := tlsConfig(c, main...)
	return cfg.MailHost(t, "d.test", mailboxes...)
}

func tlsConfig(c certificate, main ...map[string]string) realhost.PostfixConfig {
	cfg := realhost.PostfixConfig{Main: maps.Clone(tlsPort), Files: map[string]string{"chain.pem": c.pem}}
	for _, more := range main {
		maps.Copy(cfg.Main, more)
	}
	return cfg
}

// encrypted is how many of the host's sessions had TLS.
func encrypted(h *realhost.Host) int {
	return strings.Count(h.Log(), "TLS connection established from")
}

func TestPostfixWithTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	good, old := ca.certify(t, "mail.d.test", time.Hour), ca.certify(t, "mail.d.test", -time.Minute)
	colons := strings.ToUpper(good.fingerprint[:2]) + ":" + good.fingerprint[2:]
	off := map[string]string{"smtpd_tls_security_level": ""}
	required := map[string]string{"smtpd_tls_security_level": "encrypt"}
	for name, c := range map[string]struct {
		cert     certificate
		main     map[string]string
		security Security
		want     string // "": it is asked; else why it is not
		plain    bool   // it is asked without TLS
	}{
		"may":                       {cert: good},
		"may, required":             {cert: good, main: required},
		"may, not offered":          {cert: good, main: off, plain: true},
		"may, the handshake fails":  {cert: good, main: noCommonCipher, plain: true},
		"may, not trusted":          {cert: old, security: Security{Roots: other.roots(), Name: "else.d.test", Fingerprints: []string{old.fingerprint[2:]}}},
		"may, it has no TLS":        {main: map[string]string{"smtpd_tls_chain_files": "$config_directory/missing.pem"}, plain: true},
		"none":                      {cert: good, security: Security{Level: TLSNone}, plain: true},
		"none, required":            {cert: good, main: required, security: Security{Level: TLSNone}, want: "530 5.7.0 Must issue a STARTTLS command first"},
		"none, required, by RCPT":   {cert: good, main: map[string]string{"smtpd_tls_security_level": "encrypt", "disable_vrfy_command": "yes"}, security: Security{Level: TLSNone}, want: "STARTTLS"},
		"encrypt":                   {cert: good, security: Security{Level: TLSEncrypt}},
		"encrypt, not trusted":      {cert: old, security: Security{Level: TLSEncrypt, Roots: other.roots(), Name: "else.d.test"}},
		"encrypt, required":         {cert: good, main: required, security: Security{Level: TLSEncrypt}},
		"encrypt, not offered":      {cert: good, main: off, security: Security{Level: TLSEncrypt}, want: "does not offer STARTTLS"},
		"encrypt, handshake fails":  {cert: good, main: noCommonCipher, security: Security{Level: TLSEncrypt}, want: "TLS handshake"},
		"verify":                    {cert: good, security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test"}},
		"verify, not offered":       {cert: good, main: off, security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test"}, want: "does not offer STARTTLS"},
		"verify, another name":      {cert: good, security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "else.d.test"}, want: "valid for mail.d.test, not else.d.test"},
		"verify, another authority": {cert: good, security: Security{Level: TLSVerify, Roots: other.roots(), Name: "mail.d.test"}, want: "unknown authority"},
		"verify, the system's":      {cert: good, security: Security{Level: TLSVerify, Name: "mail.d.test"}, want: "unknown authority"},
		"verify, expired":           {cert: old, security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test"}, want: "expired"},
		"fingerprint":               {cert: good, security: Security{Level: TLSVerify, Name: "else.d.test", Fingerprints: []string{old.fingerprint, good.fingerprint}}},
		"fingerprint with colons":   {cert: good, security: Security{Level: TLSVerify, Fingerprints: []string{colons}}},
		"another fingerprint": {
			cert: good, security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test", Fingerprints: []string{old.fingerprint}},
			want: good.fingerprint + ", which is none of tls_fingerprints",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := tlsHost(t, c.cert, c.main)
			p := ofRealHost(t, h, func(cfg *Config) { cfg.Security = c.security })
			// One question more than a connection carries, so that TLS is resumed.
			addresses := []string{"anna@d.test", "nobody@d.test", `"a b"@d.test`, "größe@d.test", "nobody@d.test", "anna@d.test", "nobody@d.test", "Anna@d.test"}
			for _, s := range addresses {
				want := policy.Yes
				switch {
				case c.want != "":
					want = policy.Unsure
				case strings.HasPrefix(s, "nobody"):
					want = policy.No
				}
				if got := wantSays(t, p, s, want); !strings.Contains(got.Why, c.want) {
					t.Errorf("%s: why %q, want %q", s, got.Why, c.want)
				}
			}
			p.Close()
			if n := encrypted(h); c.want == "" && (n > 0) == c.plain {
				t.Errorf("%d sessions with TLS", n)
			}
		})
	}
}

// TLS from the first octet on. Postfix greets behind it only, so the service is
// one that nobody waits for.
func TestPostfixWithTLSAround(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.certify(t, "mail.d.test", time.Hour)
	cfg := tlsConfig(cert)
	around := freeAddr(t)
	cfg.Master = []string{around + " inet n - n - - smtpd -o smtpd_tls_wrappermode=yes"}
	h := cfg.MailHost(t, "d.test", mailboxes...)
	for name, c := range map[string]struct {
		security Security
		addr     string
		want     string
	}{
		"may":             {security: Security{}},
		"encrypt":         {security: Security{Level: TLSEncrypt}},
		"verify":          {security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test"}},
		"fingerprint":     {security: Security{Level: TLSVerify, Fingerprints: []string{cert.fingerprint}}},
		"another name":    {security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "else.d.test"}, want: "not else.d.test"},
		"another print":   {security: Security{Level: TLSVerify, Fingerprints: []string{strings.Repeat("0", 64)}}, want: "none of tls_fingerprints"},
		"it is not so":    {security: Security{}, addr: h.Addr(), want: "TLS handshake"},
		"nor if verified": {security: Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test"}, addr: h.Addr(), want: "TLS handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			p := ofRealHost(t, h, func(cfg *Config) {
				cfg.Security = c.security
				cfg.Security.Wrapper = true
				cfg.Endpoint.Address = around
				if c.addr != "" {
					cfg.Endpoint.Address = c.addr
				}
			})
			if c.want == "" {
				wantAll(t, p, mailboxes, policy.Yes, "")
				wantAll(t, p, strangers, policy.No, "")
				return
			}
			if got := wantSays(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, c.want) {
				t.Errorf("why %q, want %q", got.Why, c.want)
			}
		})
	}
	t.Run("not expected", func(t *testing.T) {
		p := ofRealHost(t, h, func(cfg *Config) {
			cfg.Endpoint.Address, cfg.ReplyTimeout = around, 200*time.Millisecond
		})
		if got := wantSays(t, p, "anna@d.test", policy.Unsure); !strings.Contains(got.Why, "no greeting") {
			t.Errorf("why %q", got.Why)
		}
	})
}

// freeAddr returns an address where nobody listens, on a loopback address that
// is not used for anything else.
func freeAddr(t testing.TB) string {
	t.Helper()
	var some [3]byte
	_, _ = rand.Read(some[:])
	l, err := net.Listen("tcp", fmt.Sprintf("127.%d.%d.%d:0", 1+some[0]%254, some[1], 1+some[2]%254))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A host that was verified is verified anew by who trusts another authority, or
// knows it by another fingerprint: what was learnt of it in an earlier handshake,
// which Postfix and we can resume, is not enough.
func TestResumedTLSIsVerified(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	cert := ca.certify(t, "resumed.d.test", time.Hour)
	h := tlsHost(t, cert)
	for range 2 {
		for _, c := range []struct {
			security Security
			want     policy.Says
		}{
			{Security{Level: TLSEncrypt, Name: "resumed.d.test"}, policy.Yes},
			{Security{Level: TLSVerify, Name: "resumed.d.test", Roots: other.roots()}, policy.Unsure},
			{Security{Level: TLSVerify, Name: "resumed.d.test", Roots: ca.roots()}, policy.Yes},
			{Security{Level: TLSVerify, Name: "resumed.d.test", Roots: other.roots()}, policy.Unsure},
			{Security{Level: TLSVerify, Name: "else.d.test", Roots: ca.roots()}, policy.Unsure},
			{Security{Level: TLSVerify, Name: "resumed.d.test", Fingerprints: []string{cert.fingerprint}}, policy.Yes},
			{Security{Level: TLSVerify, Name: "resumed.d.test", Fingerprints: []string{strings.Repeat("0", 64)}}, policy.Unsure},
			{Security{Level: TLSVerify, Fingerprints: []string{cert.fingerprint}}, policy.Yes},
			{Security{Level: TLSVerify, Fingerprints: []string{strings.Repeat("0", 64)}}, policy.Unsure},
			{Security{Level: TLSVerify, Name: "resumed.d.test"}, policy.Unsure},
		} {
			p := ofRealHost(t, h, func(cfg *Config) { cfg.Security = c.security })
			wantSays(t, p, "anna@d.test", c.want)
			p.Close()
		}
	}
}

// What a dictionary attack asks of a host behind TLS.
func TestPostfixBehindTLSBears500Strangers(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.certify(t, "mail.d.test", time.Hour)
	start := func(main map[string]string) func(testing.TB) *realhost.Host {
		return func(t testing.TB) *realhost.Host {
			t.Helper()
			cfg := tlsConfig(cert, main)
			cfg.Main["recipient_delimiter"] = "+"
			cfg.Main["virtual_alias_maps"] = "texthash:$config_directory/aliases"
			cfg.Files["aliases"] = "alias@d.test anna@d.test\ngrösse-alias@d.test anna@d.test\n"
			return cfg.MailHost(t, "d.test", mailboxes...)
		}
	}
	verified := Security{Level: TLSVerify, Roots: ca.roots(), Name: "mail.d.test"}
	some := realCase{
		yes: owners, no: strangers, unsure: oddities, strangers: policy.No,
		change: func(cfg *Config, _ *realhost.Host) { cfg.Security = verified },
	}
	for _, c := range []realCase{
		some.as("by VRFY", start(map[string]string{"smtpd_tls_security_level": "encrypt"})),
		some.as("by RCPT", start(map[string]string{"smtpd_tls_security_level": "encrypt", "disable_vrfy_command": "yes"})),
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(t)
		})
	}
}
