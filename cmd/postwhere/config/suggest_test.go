package config

import (
	"strings"
	"testing"
)

func TestUnknownKeyIsToldWhatItMayBe(t *testing.T) {
	for text, want := range map[string]string{
		"[cache]\nowner-refresh = '1h'\n":                           "owner_refresh",
		"[cache]\nownerRefresh = '1h'\n":                            "owner_refresh",
		"[cache]\nstranger = 1\n":                                   "strangers",
		"[serach]\ndeadline = '1s'\n":                               "search",
		"[host.mail1]\nconn = 1\n":                                  "connections",
		"[host.mail1]\nprob = 'mail1'\n":                            "probe",
		"[host.'mail1']\ntls_ca = 'x'\n":                            "tls_ca_file",
		"[host.mail1]\nMETHODS = 'vrfy'\n":                          "method",
		"[[listen.tcp_table]]\nlissen = 'inet:127.0.0.1:1'\n":       "listen",
		"[listen]\nprovision = []\n":                                "provisioning",
		"[listen]\nmx = []\n":                                       "",
		"[cache]\nx = 1\n":                                          "",
		"[limits]\nconnections_per_host = 1\n":                      "",
		"[host.mail1]\nport = 1\n":                                  "",
		"[host.mail1.probe]\nx = 1\n":                               "",
		"[nothing.of.this]\nx = 1\n":                                "",
		"[reply]\nreject_code = 550\n[cache]\nfil = ''\n":           "file",
		"[bypass]\nauthentikated = true\n":                          "authenticated",
		"[host.mail1]\n\"\" = 1\n":                                  "",
		"[host.mail1]\n\"" + strings.Repeat("k", 1000) + "\" = 1\n": "",
	} {
		_, err := Parse("p.toml", one+text)
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		_, got, is := strings.Cut(err.Error(), ": did you mean ")
		if is != (want != "") || is && got != `"`+want+`"?` {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
