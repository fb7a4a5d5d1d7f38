package check

import (
	"strings"
	"testing"
)

func TestAdviceOnFailure(t *testing.T) {
	for why, want := range map[string]string{
		"cannot be reached: dial tcp 192.0.2.1:25: connect: connection refused":                                                   "is it up",
		"cannot be reached: lookup nowhere.invalid: no such host":                                                                 "Is its name right",
		"cannot be reached: the host refuses us: AUTH: 535 5.7.8 Error: authentication failed":                                    "user and secret_file",
		"cannot be reached: the host does not offer STARTTLS, which tls = encrypt and verify want":                                `tls = "may"`,
		"cannot be reached: TLS handshake: TLS: tls: first record does not look like a TLS handshake":                             "leave tls_wrappermode out",
		"cannot be reached: TLS handshake: TLS: tls: failed to verify certificate: x509: certificate signed by unknown author":    "tls_ca_file",
		"cannot be reached: TLS handshake: TLS: the host's certificate has the fingerprint 00, which is none of tls_fingerprints": "tls_fingerprints",
		"cannot be reached: no greeting: read tcp 127.0.0.1:1->127.0.0.1:2: i/o timeout":                                          "tls_wrappermode = true",
		"cannot be reached: the host refuses us: SMTP error 500: 5.5.1 Unknown command":                                           "LMTP",
		"cannot be reached: the host refuses us: SMTP error 554: 5.7.1 Banned":                                                    "Let it take this machine in",
		"no Minger server there: read udp: connection refused":                                                                    "Minger server run",
		"while it was calibrated: no answer in time; it was asked 5 times":                                                        "Minger server run",
	} {
		if got := adviceOnFailure(why, `[host."mail1"]`); !strings.Contains(got, want) {
			t.Errorf("%s\n%s, want %q", why, got, want)
		}
	}
}

func TestAdviceOnASharedSecret(t *testing.T) {
	why := `cannot be calibrated: it said "postwhereblockaccess@d.test 2" about an address that nobody has: the host wants a shared secret, or another one than ours`
	if got := adviceOn(why, "d.test"); !strings.Contains(got, "secret_file") {
		t.Error(got)
	}
}
