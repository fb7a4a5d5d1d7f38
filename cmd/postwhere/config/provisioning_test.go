package config

import (
	"strings"
	"testing"
)

func TestBadProvisioningIsRefused(t *testing.T) {
	reached := func(l string) string {
		return "p.toml: listen.provisioning " + l + " can be reached from other machines: say provisioning.token_file, or listen on a loopback address or unix:/PATH"
	}
	bad{
		{"all addresses without a token", one + "[listen]\nprovisioning = ['inet:0.0.0.0:1']\n", reached("inet:0.0.0.0:1")},
		{"all addresses of IPv6", one + "[listen]\nprovisioning = ['inet:[::]:1']\n", reached("inet:[::]:1")},
		{"an address without a token", one + "[listen]\nprovisioning = ['inet:127.0.0.1:1', 'inet:192.0.2.1:1']\n", reached("inet:192.0.2.1:1")},
		{"a name without a token", one + "[listen]\nprovisioning = ['inet:front.example:1']\n", reached("inet:front.example:1")},
		{"a name that looks like loopback", one + "[listen]\nprovisioning = ['inet:127.0.0.1.example:1']\n", reached("inet:127.0.0.1.example:1")},
		{"a token for nobody", one + "[provisioning]\ntoken_file = 't'\n", `p.toml: listen.provisioning is empty: provisioning.token_file is for its listeners`},
		{"one address with another", one + "[listen]\nprovisioning = ['inet:127.0.0.1:10045']\n", `p.toml: listen.policy and listen.provisioning both listen on inet:127.0.0.1:10045`},
		{"no list", one + "[listen]\nprovisioning = 'inet:127.0.0.1:1'\n", `p.toml:5:16: listen.provisioning: want a list, got string`},
		{"another spelling", one + "[listen]\nprovisioning = ['http://127.0.0.1:1']\n", `p.toml:5:17: listen.provisioning: listener "http://127.0.0.1:1": want inet:HOST:PORT or unix:/PATH`},
	}.test(t)
}

func TestTokenOfProvisioning(t *testing.T) {
	dir := inDir(t, map[string]string{
		"good": "0123456789abcdef\n", "crlf": "0123456789-._~+/==\r\n", "short": "0123456789abcde\n", "two": "0123456789abcdef\n0123456789abcdef\n",
		"blank": "0123456789 abcdef\n", "empty": "\n", "beyond": "0123456789abcdéf\n", "long": strings.Repeat("x", 1001),
	})
	listen := one + "[listen]\nprovisioning = ['inet:0.0.0.0:1']\n[provisioning]\ntoken_file = '"
	for file, want := range map[string]string{"good": "0123456789abcdef", "crlf": "0123456789-._~+/=="} {
		c, err := Parse(dir+"/p.toml", listen+file+"'\n")
		if err != nil || c.Provisioning.Token() != want {
			t.Errorf("%s: %v", file, err)
		}
	}
	for _, file := range []string{"short", "two", "blank", "empty", "beyond", "long", "missing"} {
		_, err := Parse(dir+"/p.toml", listen+file+"'\n")
		if err == nil || !strings.HasPrefix(err.Error(), dir+"/p.toml: provisioning.token_file") || strings.Contains(err.Error(), "0123") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestListenerOfThisMachineNeedsNoToken(t *testing.T) {
	for _, l := range []string{"inet:127.0.0.1:1", "inet:127.9.9.9:1", "inet:[::1]:1", "inet:[::ffff:127.0.0.1]:1", "inet:localhost:1", "inet:LocalHost:1", "unix:/run/p"} {
		if c := parse(t, one+"[listen]\nprovisioning = ['"+l+"']\n"); c.Provisioning.Token() != "" || !c.Listen.Provisioning[0].Local() {
			t.Errorf("%s: %+v", l, c.Provisioning)
		}
	}
}
