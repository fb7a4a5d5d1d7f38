package config

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestBadListenerIsRefused(t *testing.T) {
	want := `want inet:HOST:PORT or unix:/PATH`
	long := "unix:/" + strings.Repeat("x", maxSocketPath)
	bad{
		{"no network", one + "[listen]\npolicy = ['127.0.0.1:10045']\n", `p.toml:5:11: listen.policy: listener "127.0.0.1:10045": ` + want},
		{"no port", one + "[listen]\nsocketmap = ['inet:127.0.0.1']\n", `p.toml:5:14: listen.socketmap: listener "inet:127.0.0.1": ` + want},
		{"port of seven digits", one + "[listen]\npolicy = ['inet:127.0.0.1:1000000']\n", `p.toml:5:11: listen.policy: listener "inet:127.0.0.1:1000000": ` + want},
		{"port with a sign", one + "[listen]\npolicy = ['inet:127.0.0.1:+25']\n", `p.toml:5:11: listen.policy: listener "inet:127.0.0.1:+25": ` + want},
		{"no host", one + "[listen]\npolicy = ['inet::10045']\n", `p.toml:5:11: listen.policy: listener "inet::10045": name the address to listen on; 127.0.0.1 for this machine alone`},
		{"no host name", one + "[listen]\npolicy = ['inet:a b:10045']\n", `p.toml:5:11: listen.policy: listener "inet:a b:10045": "a b" is no host`},
		{"relative path", one + "[listen]\npolicy = ['unix:policy']\n", `p.toml:5:11: listen.policy: listener "unix:policy": want an absolute path, unix:/PATH`},
		{"path too long", one + "[listen]\npolicy = ['" + long + "']\n", `p.toml:5:11: listen.policy: listener "` + long + `": want a path of at most 107 octets`},
		{"path that main.cf cannot name", one + "[listen]\npolicy = ['unix:/run/$mail']\n",
			`p.toml:5:11: listen.policy: listener "unix:/run/$mail": want a path that main.cf can name, without blanks, quotes, commas, $ and braces`},
		{"two alike", one + "[listen]\npolicy = ['inet:127.0.0.1:1']\nsocketmap = ['inet:127.0.0.1:2', 'inet:127.0.0.1:01']\n",
			`p.toml: listen.policy and listen.socketmap both listen on inet:127.0.0.1:1`},
		{"one twice", one + "[listen]\npolicy = ['inet:127.0.0.1:1', 'inet:127.0.0.1:1']\n", `p.toml: listen.policy and listen.policy both listen on inet:127.0.0.1:1`},
		{"two sockets alike", one + "[listen]\npolicy = ['unix:/run/a:0']\ncontrol = ['unix:/run//a:0']\n", `p.toml: listen.policy and listen.control both listen on unix:/run/a:0`},
		{"a default taken", one + "[[listen.tcp_table]]\nlisten = 'inet:127.0.0.1:10047'\nmap = 'transport'\n", `p.toml: listen.socketmap and listen.tcp_table both listen on inet:127.0.0.1:10047`},
		{"control over the network", one + "[listen]\ncontrol = ['inet:127.0.0.1:1']\n", `p.toml: listen.control inet:127.0.0.1:1: want unix:/PATH, whose permissions say who may give orders`},
		{"tcp_table without address", one + "[[listen.tcp_table]]\nmap = 'transport'\n", `p.toml: listen.tcp_table 1 has no address: say listen = "inet:127.0.0.1:PORT"`},
		{"tcp_table without map", one + "[[listen.tcp_table]]\nlisten = 'inet:127.0.0.1:1'\n", `p.toml: listen.tcp_table inet:127.0.0.1:1: map "": want transport, recipient, domain, alias`},
		{"tcp_table of no map", one + "[[listen.tcp_table]]\nlisten = 'inet:127.0.0.1:1'\nmap = 'virtual'\n", `p.toml: listen.tcp_table inet:127.0.0.1:1: map "virtual": want transport, recipient, domain, alias`},
	}.test(t)
}

func TestBadTimeIsRefused(t *testing.T) {
	want := `: want a number and a unit: ms, s, m, h, d or w`
	bad{
		{"no unit", one + "[search]\ndeadline = '10'\n", `p.toml:5:12: search.deadline: time "10"` + want},
		{"no number", one + "[search]\ndeadline = 's'\n", `p.toml:5:12: search.deadline: time "s"` + want},
		{"empty", one + "[search]\ndeadline = ''\n", `p.toml:5:12: search.deadline: time ""` + want},
		{"negative", one + "[search]\ndeadline = '-1s'\n", `p.toml:5:12: search.deadline: time "-1s"` + want},
		{"unknown unit", one + "[search]\ndeadline = '1y'\n", `p.toml:5:12: search.deadline: time "1y"` + want},
		{"blank", one + "[search]\ndeadline = '1 s'\n", `p.toml:5:12: search.deadline: time "1 s"` + want},
		{"too long", one + "[cache]\nno_expire = '999999999w'\n", `p.toml:5:13: cache.no_expire: time "999999999w" is too long`},
		{"too long together", one + "[cache]\nno_expire = '4000w4000w'\n", `p.toml:5:13: cache.no_expire: time "4000w4000w" is too long`},
		{"zero deadline", one + "[search]\ndeadline = '0s'\n", `p.toml: search.deadline must be more than 0`},
		{"all zero", one + "[search]\ndeadline='0s'\nmap_wait='0s'\n[probe]\nconnect_timeout='0s'\nreply_timeout='0s'\n[limits]\nrequest_timeout='0s'\n" +
			"[mx]\nrefresh='0s'\n[cache]\nowner_refresh='0s'\nno_expire='0s'\nunsure_expire='0s'\n", `
p.toml: search.deadline must be more than 0
p.toml: search.map_wait must be more than 0
p.toml: probe.connect_timeout must be more than 0
p.toml: probe.reply_timeout must be more than 0
p.toml: cache.owner_refresh must be more than 0
p.toml: cache.no_expire must be more than 0
p.toml: cache.unsure_expire must be more than 0
p.toml: limits.request_timeout must be more than 0
p.toml: mx.refresh must be more than 0`},
		{"deadline beyond the client's patience", one + "[search]\ndeadline = '4m1s'\n",
			`p.toml: search.deadline = 4m1s: want 4m at most: then a client gives up that waits for the reply to RCPT TO`},
		{"map_wait beyond Postfix's patience", one + "[search]\nmap_wait = '2m'\n", `p.toml: search.map_wait = 2m: want 1m30s at most: then Postfix gives up`},
		{"expire before refresh", one + "[cache]\nowner_refresh = '8d'\n", `p.toml: cache.owner_expire (1w) is shorter than cache.owner_refresh (1w1d)`},
	}.test(t)
}

func TestBadLifetimeOfADomainIsRefused(t *testing.T) {
	const shared = "[cache]\nshared = 'redis://127.0.0.1'\n"
	bad{
		{"no unit", one + "owner_expire = '10'\n", `p.toml:4:16: domain.owner_expire: time "10": want a number and a unit: ms, s, m, h, d or w`},
		{"number", one + "no_expire = 10\n", `p.toml: domain[1].no_expire = 10: want a time with its unit, in quotes: "10s"`},
		{"zero", one + "owner_refresh = '0s'\nno_expire = '0s'\nunsure_expire = '0s'\n", `
p.toml: domain example.com: owner_refresh must be more than 0
p.toml: domain example.com: no_expire must be more than 0
p.toml: domain example.com: unsure_expire must be more than 0`},
		{"expire before refresh", one + "owner_refresh = '2h'\nowner_expire = '1h'\n", `p.toml: domain example.com: owner_expire (1h) is shorter than owner_refresh (2h)`},
		{"expire before the cache's refresh", one + "owner_expire = '1m'\n", `p.toml: domain example.com: owner_expire (1m) is shorter than owner_refresh (1h, of [cache])`},
		{"the cache's expire before refresh", one + "owner_refresh = '8d'\n", `p.toml: domain example.com: owner_expire (1w, of [cache]) is shorter than owner_refresh (1w1d)`},
		{"too short to be shared", one + "owner_refresh = '1ms'\nowner_expire = '999ms'\n" + shared, `p.toml: domain example.com: owner_expire = 999ms: want 1s at least of what is shared`},
	}.test(t)
}

func TestNumberOutOfBoundsIsRefused(t *testing.T) {
	bad{
		{"none at all", one + "[search]\nmax_searches = 0\n[cache]\nowners = 0\nstrangers = -1\n[limits]\nconnections = 0\n", `
p.toml: search.max_searches = 0: want 1 or more
p.toml: cache.owners = 0: want 1 or more
p.toml: cache.strangers = -1: want 1 or more
p.toml: limits.connections = 0: want 1 or more`},
	}.test(t)
}

func TestBadReplyIsRefused(t *testing.T) {
	want := `: want code, enhanced code and text in one line: "550 5.1.1 User unknown"`
	bad{
		{"reject for now only", one + "[reply]\nreject = '450 4.1.1 Try later'\n", `p.toml: reply.reject must be a 5xx reply, not "450 4.1.1 Try later"`},
		{"defer for good", one + "[reply]\ndefer = '550 5.1.1 No'\n", `p.toml: reply.defer must be a 4xx reply, not "550 5.1.1 No"`},
		{"421", one + "[reply]\ndefer = '421 4.3.2 Later'\n", `p.toml:5:9: reply.defer: reply "421 4.3.2 Later": to 421 and 521 Postfix hangs up, for the other recipients as well`},
		{"521", one + "[reply]\nreject = '521 5.1.1 No'\n", `p.toml:5:10: reply.reject: reply "521 5.1.1 No": to 421 and 521 Postfix hangs up, for the other recipients as well`},
		{"no enhanced code", one + "[reply]\nreject = '550 User unknown'\n", `p.toml:5:10: reply.reject: reply "550 User unknown"` + want},
		{"no text", one + "[reply]\nreject = '550 5.1.1'\n", `p.toml:5:10: reply.reject: reply "550 5.1.1"` + want},
		{"blank text", one + "[reply]\nreject = '550 5.1.1  '\n", `p.toml:5:10: reply.reject: reply "550 5.1.1  "` + want},
		{"codes disagree", one + "[reply]\nreject = '550 4.1.1 No'\n", `p.toml:5:10: reply.reject: reply "550 4.1.1 No"` + want},
		{"success", one + "[reply]\nreject = '250 2.1.5 Yes'\n", `p.toml:5:10: reply.reject: reply "250 2.1.5 Yes"` + want},
		{"enhanced code that Postfix does not know", one + "[reply]\nreject = '550 5.01.1 No'\n", `p.toml:5:10: reply.reject: reply "550 5.01.1 No"` + want},
		{"two lines", one + "[reply]\nreject = \"550 5.1.1 No\\nNo\"\n", `p.toml:5:10: reply.reject: reply "550 5.1.1 No\nNo"` + want},
		{"beyond ASCII", one + "[reply]\nreject = '550 5.1.1 Empfänger'\n", `p.toml:5:10: reply.reject: reply "550 5.1.1 Empfänger"` + want},
	}.test(t)
}

func TestBadProbeSettingsAreRefused(t *testing.T) {
	bad{
		{"sender", one + "[probe]\nsender = 'postwhere'\n", `p.toml: probe.sender: not an address: want local-part@domain, got "postwhere"`},
		{"helo_name", one + "[probe]\nhelo_name = 'a b'\n", `p.toml: probe.helo_name "a b": want a host name`},
	}.test(t)
}

func TestBadBypassIsRefused(t *testing.T) {
	network := ": want 192.0.2.0/24, 2001:db8::/32 or an address"
	address := ": want user@example.com, example.com or user@: "
	bad{
		{"name for a network", one + "[bypass]\nnetworks = ['localhost']\n", `p.toml:5:13: bypass.networks: network "localhost"` + network},
		{"too many bits", one + "[bypass]\nnetworks = ['192.0.2.0/33']\n", `p.toml:5:13: bypass.networks: network "192.0.2.0/33"` + network},
		{"zone", one + "[bypass]\nnetworks = ['fe80::1%eth0']\n", `p.toml:5:13: bypass.networks: network "fe80::1%eth0"` + network},
		{"mapped network", one + "[bypass]\nnetworks = ['::ffff:192.0.2.0/120']\n", `p.toml:5:13: bypass.networks: network "::ffff:192.0.2.0/120"` + network},
		{"address within a network", one + "[bypass]\nnetworks = ['192.0.2.1/24']\n", `p.toml:5:13: bypass.networks: network "192.0.2.1/24" is an address within one: want 192.0.2.0/24`},
		{"number for a network", one + "[bypass]\nnetworks = [10]\n", `p.toml: bypass.networks[1] = 10: want text in quotes`},
		{"no sender", one + "[bypass]\nsenders = ['@example.com']\n", `p.toml:5:12: bypass.senders: "@example.com"` + address + `address cannot be put to a mail host: empty local part`},
		{"null recipient", one + "[bypass]\nrecipients = ['<>']\n", `p.toml: bypass.recipients: <> is nobody's address: it is for bypass.senders`},
		{"header of others", one + "[milter]\ntrace_header = 'Received'\n",
			`p.toml: milter.trace_header "Received": want the name of a header that nobody else uses, such as "X-Postwhere"`},
		{"header with a colon", one + "[milter]\ntrace_header = 'X-A:'\n",
			`p.toml: milter.trace_header "X-A:": want the name of a header that nobody else uses, such as "X-Postwhere"`},
	}.test(t)
}

// Each problem has a line of its own, in an order that does not change.
func TestAllThatIsWrongIsToldAtOnceAndInOrder(t *testing.T) {
	text := "[[domain]]\nhosts = ['', 'a']\n[host.b]\n[search]\ndeadline = '0s'\n[cache]\nowners = 0\nstrangers = 0\n[listen]\npolicy = ['inet:127.0.0.1:1']\nsocketmap = ['inet:127.0.0.1:1']\n"
	_, first := Parse("p.toml", text)
	if first == nil || strings.Count(first.Error(), "\n") != 6 {
		t.Fatalf("want seven lines, got\n%v", first)
	}
	for range 20 {
		if _, err := Parse("p.toml", text); err.Error() != first.Error() {
			t.Fatalf("once\n%v\nand once\n%v", first, err)
		}
	}
}

func TestMissingFileIsToldWithTheWayToNameOne(t *testing.T) {
	dir := t.TempDir()
	_, err := Load(filepath.Join(dir, "postwhere.toml"))
	if want := "there is no configuration " + dir + "/postwhere.toml: write it, or name another by -c FILE"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Load(dir)
	if want := "configuration: read " + dir + ": is a directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
