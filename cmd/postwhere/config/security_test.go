package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postwhere/probe"
)

const sha256 = "00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

func TestBadProtectionOfAHostIsRefused(t *testing.T) {
	const host = one + "[host.mail1]\n"
	bad{
		{"level", host + "tls = 'dane'\n", `p.toml:5:7: host.mail1.tls: tls "dane": want none, may, encrypt or verify`},
		{"level of another type", host + "tls = true\n", `p.toml: host.mail1.tls = true: want text in quotes`},
		{"level by a list", host + "tls = ['may']\n", `p.toml:5:7: host.mail1.tls: want text in quotes, got array`},
		{"text for a switch", host + "tls_wrappermode = 'yes'\n", `p.toml:5:19: host.mail1.tls_wrappermode: want true or false, got string`},
		{"meaning of 252", host + "vrfy_252 = 'no'\n", `p.toml:5:12: host.mail1.vrfy_252: vrfy_252 "no": want auto, yes or unsure`},
		{"rate", host + "rate = -1\n", `p.toml: host "mail1": rate = -1: want questions a second, or 0 for any number`},
		{"address", host + "bind_address = 'eth0'\n", `p.toml: host "mail1": bind_address "eth0": want an IP address of this machine`},
		{"address for a socket", host + "probe = 'lmtp:unix:/run/lmtp'\nbind_address = '192.0.2.1'\n", `p.toml: host "mail1": bind_address "192.0.2.1" does not go with the socket /run/lmtp`},
		{"address of another family", host + "probe = 'smtp:[::1]:25'\nbind_address = '192.0.2.1'\n",
			`p.toml: host "mail1": bind_address "192.0.2.1": ::1 cannot be reached from there, one is IPv4 and the other IPv6`},
		{"TLS with Minger", host + "probe = 'minger:mail1'\ntls = 'encrypt'\n",
			`p.toml: host "mail1": tls, tls_wrappermode and user are for SMTP and LMTP: Minger has but a shared secret, in secret_file`},
		{"a user with Minger", host + "probe = 'minger:mail1'\nuser = 'u'\nsecret_file = 's'\n",
			`p.toml: host "mail1": tls, tls_wrappermode and user are for SMTP and LMTP: Minger has but a shared secret, in secret_file`},
		{"252 with Minger", host + "probe = 'minger:mail1'\nvrfy_252 = 'yes'\n", `p.toml: host "mail1": vrfy_252 "yes" does not go with probe "minger:mail1": Minger has no VRFY`},
		{"252 with the method", host + "method = 'minger'\nvrfy_252 = 'unsure'\n", `p.toml: host "mail1": vrfy_252 "unsure" does not go with probe "minger:mail1": Minger has no VRFY`},
		{"fingerprint", host + "tls = 'verify'\ntls_fingerprints = ['" + sha256 + "', 'ab:cd']\n", `p.toml: host "mail1": tls_fingerprints "ab:cd": want a SHA-256 fingerprint, 32 octets in hex`},
		{"fingerprint that is not looked at", host + "tls_fingerprints = ['" + sha256 + "']\n", `p.toml: host "mail1": tls_ca_file and tls_fingerprints need tls = "verify"`},
		{"authorities that are not looked at", host + "tls = 'encrypt'\ntls_ca_file = 'ca.pem'\n", `p.toml: host "mail1": tls_ca_file and tls_fingerprints need tls = "verify"`},
		{"user without password", host + "user = 'u'\ntls = 'encrypt'\n", `p.toml: host "mail1": user "u" needs secret_file, with the password`},
		{"password without user", host + "secret_file = 's'\n", `p.toml: host "mail1": secret_file needs user`},
		{"password in clear", host + "user = 'u'\nsecret_file = 's'\n", `p.toml: host "mail1": user needs tls = "encrypt" or "verify": the password would go over the network for all to read`},
		{"Minger at an SMTP port", host + "method = 'minger'\nprobe = 'smtp:mail1'\n",
			`p.toml: host "mail1": method "minger" does not go with probe "smtp:mail1": Minger is asked at minger:HOST, the others by smtp or lmtp`},
		{"VRFY at a Minger port", host + "method = 'vrfy'\nprobe = 'minger:mail1'\n",
			`p.toml: host "mail1": method "vrfy" does not go with probe "minger:mail1": Minger is asked at minger:HOST, the others by smtp or lmtp`},
	}.test(t)
}

// inDir writes files into a folder and returns it.
func inDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBadFileOfAHostIsRefused(t *testing.T) {
	dir := inDir(t, map[string]string{"empty": "\n", "two": "a\nb\n", "nopem": "hello", "huge": strings.Repeat("x", 2<<20)})
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ settings, want string }{
		{"user = 'u'\ntls = 'encrypt'\nsecret_file = 'missing'\n", "secret_file: stat DIR/missing: no such file or directory"},
		{"user = 'u'\ntls = 'encrypt'\nsecret_file = 'empty'\n", "secret_file DIR/empty: want the secret in one line"},
		{"user = 'u'\ntls = 'encrypt'\nsecret_file = 'two'\n", "secret_file DIR/two: want the secret in one line"},
		{"user = 'u'\ntls = 'encrypt'\nsecret_file = 'huge'\n", "secret_file: DIR/huge: more than 1048576 octets"},
		{"user = 'u'\ntls = 'encrypt'\nsecret_file = 'fifo'\n", "secret_file: DIR/fifo is no file"},
		{"tls = 'verify'\ntls_ca_file = '/nowhere/ca.pem'\n", "tls_ca_file: stat /nowhere/ca.pem: no such file or directory"},
		{"tls = 'verify'\ntls_ca_file = 'nopem'\n", "tls_ca_file DIR/nopem: there is no certificate in it, want PEM"},
		{"tls = 'verify'\ntls_ca_file = '.'\n", "tls_ca_file: DIR is no file"},
	} {
		_, err := Parse(filepath.Join(dir, "p.toml"), one+"[host.mail1]\n"+c.settings)
		if err == nil {
			err = errors.New("accepted")
		}
		same(t, strings.ReplaceAll(err.Error(), dir, "DIR"), `DIR/p.toml: host "mail1": `+c.want)
	}
}

func TestProtectionOfAHost(t *testing.T) {
	dir := inDir(t, map[string]string{"secret": "pass word\r\n"})
	text := one + `[host.mail1]
tls = "verify"
tls_wrappermode = true
tls_name = "mx.example.net"
tls_fingerprints = ["` + sha256 + `"]
user = "probe"
secret_file = "secret"
bind_address = "2001:db8::1"
rate = 100
vrfy_252 = "unsure"
`
	c, err := Parse(filepath.Join(dir, "p.toml"), text)
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.HostOf("mail1")
	if err != nil {
		t.Fatal(err)
	}
	s, err := h.Security()
	same(t, err, nil)
	same(t, s, probe.Security{
		Level: probe.TLSVerify, Wrapper: true, Name: "mx.example.net", Fingerprints: []string{sha256}, User: "probe", Secret: "pass word",
	})
	if h.BindAddress != "2001:db8::1" || h.Rate != 100 || h.VRFY252.String() != "unsure" {
		t.Errorf("%+v", h)
	}
}

// The configuration may be named by a relative path, and so may its files.
func TestRelativePathsBeginAtTheConfiguration(t *testing.T) {
	dir := inDir(t, map[string]string{"secret": "s\n", "owners": "anna@example.com mail1\n"})
	t.Chdir(filepath.Dir(dir))
	c, err := Parse(filepath.Join(filepath.Base(dir), "p.toml"), one+"owners = 'owners'\n[host.mail1]\nuser = 'u'\ntls = 'encrypt'\nsecret_file = 'secret'\n")
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.HostOf("mail1")
	if err != nil {
		t.Fatal(err)
	}
	same(t, h.SecretFile, filepath.Join(dir, "secret"))
}

func TestMingerIsAskedAtItsOwnPort(t *testing.T) {
	for _, settings := range []string{"method = 'minger'\n", "probe = 'minger:mail1'\n", "probe = 'minger:mail1'\nmethod = 'minger'\n"} {
		h := parse(t, one+"[host.mail1]\n"+settings).Host["mail1"]
		at, err := probe.ParseEndpoint(h.Probe)
		if err != nil || at.Network != probe.MingerNetwork || h.Route != "smtp:[mail1]:25" {
			t.Errorf("%q: %+v, %v", settings, h, err)
		}
	}
}
