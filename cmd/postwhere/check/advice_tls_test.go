package check

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
)

// What is wrong with a certificate is said in plain words, and which key can mend it.
func TestCertificateThatIsNotAcceptedIsToldWithTheKeyThatMendsIt(t *testing.T) {
	cert, key, authority := realhost.Certify(t, "mail.example.net", time.Hour)
	old, oldKey, oldAuthority := realhost.Certify(t, "mail.example.net", -time.Minute)
	for name, tt := range map[string]struct {
		cert, key, authority string
		settings             string
		want                 string
	}{
		"another name": {
			cert, key, authority, `tls_name = "mail1.example.net"`,
			"certificate is valid for mail.example.net, not mail1.example.net. Is it the right host? Then say in [host.\"mail1\"] by tls_name ",
		},
		"no name": {
			cert, key, authority, "",
			"cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs. Is it the right host? Then say in [host.\"mail1\"] by tls_name ",
		},
		"another authority": {
			cert, key, oldAuthority, `tls_name = "mail.example.net"`,
			". Is it the right host? Then say in [host.\"mail1\"] by tls_ca_file ",
		},
		"expired": {
			old, oldKey, oldAuthority, `tls_name = "mail.example.net"`,
			". Renew its certificate, if the clock here is right, or say in [host.\"mail1\"] tls_fingerprints,",
		},
		"another fingerprint": {
			cert, key, authority, fmt.Sprintf("tls_fingerprints = [%q]", strings.Repeat("0", 64)),
			", which is none of tls_fingerprints. Is it the right host? Then say in [host.\"mail1\"] the fingerprint ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			pair, err := tls.X509KeyPair([]byte(tt.cert), []byte(tt.key))
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(file, []byte(tt.authority), 0o600); err != nil {
				t.Fatal(err)
			}
			h := testbed.StartHostOf(t, testbed.Ways{Rcpt: testbed.Having(), TLS: &tls.Config{Certificates: []tls.Certificate{pair}}}) //nolint:gosec // any version will do
			said := hostsSaid(t, testbed.SiteText(h)+fmt.Sprintf("tls = \"verify\"\ntls_ca_file = %q\n%s\n", file, tt.settings))
			if !strings.Contains(said, "FAIL  host mail1: cannot be reached") || !strings.Contains(said, tt.want) {
				t.Errorf("says\n%s, want %q", said, tt.want)
			}
			if strings.Contains(said, "x509:") || strings.Contains(said, "tls:") {
				t.Errorf("says in the words of Go\n%s", said)
			}
		})
	}
}
