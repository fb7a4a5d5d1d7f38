package config

import (
	"strings"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/policy"
	"postwhere/probe"
)

// FuzzParse: no text makes the program panic, and what is accepted is fit to run
// by: nothing would be said to a client that must not be, and nothing waits for
// ever.
func FuzzParse(f *testing.F) {
	f.Add(one)
	f.Add("[listen]\npolicy = ['inet:[::1]:1', 'unix:/run/p']\n[[listen.tcp_table]]\nlisten='inet:h:2'\nmap='alias'\n" + one)
	f.Add("[[domain]]\nname = ['A.example', 'bücher.example']\nask_as = 'in.example'\nrecipient_delimiter = '+-'\n[host.'mx.example']\nroute = 'lmtp:unix:/run/x'\nmailer = 'relay:[mx.example]'\n")
	f.Add(one + "[search]\ndeadline = 10\n[reply]\nreject = '550 5.1.1 No'\ndefer = '451 4.0.0 Later'\n[cache]\nno_expire='1ms'\n")
	f.Add(one + "[host.mail1]\nprobe = 'lmtp:192.0.2.1'\nmethod = 2\nconnections = 50\n[probe]\nsender='a@b'\n")
	f.Add("[domain]\nname = 5\n")
	f.Add(one + "[host.mail1]\nprobe = 'minger:192.0.2.1'\nmethod = 'minger'\nvrfy_252 = 'yes'\nrate = 1\nbind_address = '::1'\ntls = 'verify'\ntls_wrappermode = true\n")
	f.Add(one + "[bypass]\nnetworks = ['192.0.2.0/24', '::1']\nauthenticated = true\nsenders = ['<>', 'a@']\nrecipients = ['b.example']\n[milter]\ntrace_header = 'X-A'\n")
	f.Fuzz(func(t *testing.T, text string) {
		if lower := strings.ToLower(text); strings.Contains(lower, "owners") || strings.Contains(lower, "_file") {
			t.Skip("would read a file that the fuzzer names")
		}
		c, err := Parse("p.toml", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "p.toml:") {
					t.Errorf("a line of the message without its place: %q", err)
				}
			}
			return
		}
		fitToRunBy(t, c)
	})
}

// fitToRunBy checks what the rest of the program relies on.
func fitToRunBy(t *testing.T, c *Config) {
	t.Helper()
	for _, d := range []Duration{
		c.Search.Deadline, c.Search.MapWait, c.Probe.ConnectTimeout, c.Probe.ReplyTimeout, c.Limits.RequestTimeout,
		c.MX.Refresh, c.Cache.NoExpire, c.Cache.OwnerRefresh, c.Cache.OwnerExpire, c.Cache.UnsureExpire,
	} {
		if time.Duration(d) < time.Millisecond {
			t.Errorf("a time of %d ns", d)
		}
	}
	if c.Search.PreferenceWait < 0 || c.Search.MaxSearches < 1 || c.Limits.Connections < 1 || c.Search.Deadline > maxDeadline {
		t.Errorf("%+v %+v", c.Search, c.Limits)
	}
	if c.Reply.Reject.Code/100 != 5 || c.Reply.Reject.Enhanced[0] != '5' || c.Reply.Defer.Code/100 != 4 || c.Reply.Defer.Enhanced[0] != '4' {
		t.Errorf("%v %v", c.Reply.Reject, c.Reply.Defer)
	}
	if _, err := cache.New(c.MemoryOptions()); err != nil {
		t.Error(err)
	}
	if len(c.Domain) == 0 || c.Probe.HeloName == "" || len(c.MX.OwnNames) == 0 {
		t.Errorf("%+v", c)
	}
	names := make(map[string]bool)
	for _, d := range c.Domain {
		for _, name := range d.Name {
			if normal, err := policy.NormalDomain(name); err != nil || normal != name || names[name] {
				t.Errorf("domain %q, %v", name, err)
			}
			names[name] = true
		}
		for _, name := range d.Hosts {
			fitHost(t, c, name)
		}
	}
}

func fitHost(t *testing.T, c *Config, name string) {
	t.Helper()
	h, err := c.HostOf(name)
	if err != nil {
		t.Error(err)
	}
	if _, err := probe.ParseEndpoint(h.Probe); err != nil {
		t.Error(err)
	}
	if h.Connections < 1 || h.Connections > 50 || h.Route == ":" || !strings.Contains(h.Route, ":") || strings.ContainsAny(h.Route, " \r\n") {
		t.Errorf("%+v", h)
	}
	if h.Method > probe.Minger || h.AliasDomain == "" {
		t.Errorf("%+v", h)
	}
}

// FuzzOwners: no file makes the program panic, and what is accepted can be found:
// each key is the Key of an address of the domain, its host one of the hosts.
func FuzzOwners(f *testing.F) {
	f.Add("anna@example.com mail1\n# x\n\nBert@EXAMPLE.com.\tmail2")
	f.Add("\"a b\"@example.com mail1\nx\n@example.com mail1\na@example.com mail3\n")
	f.Add("a@example.com mail1\nA@example.com mail2\r\n\x00@example.com mail1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d := Domain{Name: Names{"example.com", "example.org"}, Hosts: []string{"mail1", "mail2"}}
		var wrong problems
		for key, host := range d.parseOwners("owners", strings.NewReader(text), &wrong) {
			if host != "mail1" && host != "mail2" {
				t.Errorf("%q has the host %q", key, host)
			}
			local, ok := strings.CutSuffix(key, "@example.com")
			if !ok || local == "" {
				t.Errorf("key %q", key)
			}
		}
		if len(wrong) > maxOwnersWrong+2 {
			t.Errorf("%d complaints", len(wrong))
		}
	})
}
