package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postwhere/cache"
	"postwhere/cache/shared"
	"postwhere/policy"
	"postwhere/probe"
)

func parse(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("p.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Config{}, Domain{}, Provisioning{}), cmpopts.EquateComparable(Network{}, Pattern{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func seconds(n int) Duration { return Duration(time.Duration(n) * time.Second) }

// A file with one domain and its hosts is enough, and this is what it means.
func TestDefaultOfEveryKey(t *testing.T) {
	name, err := os.Hostname()
	if err != nil || !hostName.MatchString(name) {
		t.Skipf("this machine's name is %q, %v", name, err)
	}
	got := parse(t, one)
	if got.Probe.HeloName == "" || len(got.MX.OwnNames) != 1 || got.MX.OwnNames[0] != got.Probe.HeloName {
		t.Errorf("this machine is %q in EHLO and %q among MX hosts", got.Probe.HeloName, got.MX.OwnNames)
	}
	same(t, got, &Config{
		Listen: Listen{
			Policy:    []Listener{{"tcp", "127.0.0.1:10045"}},
			Milter:    []Listener{{"tcp", "127.0.0.1:10046"}},
			Socketmap: []Listener{{"tcp", "127.0.0.1:10047"}},
			Control:   []Listener{{"unix", "/run/postwhere/control"}},
		},
		Domain: []Domain{{Name: Names{"example.com"}, Hosts: []string{"mail1"}}},
		Host: map[string]*Host{"mail1": {
			Probe: "smtp:inet:mail1:25", Route: "smtp:[mail1]:25", Mailer: "esmtp:[mail1]", Method: probe.Auto, Connections: 5, AliasDomain: "mail1", TLSName: "mail1",
		}},
		Search: Search{Deadline: seconds(20), PreferenceWait: Duration(250 * time.Millisecond), MapWait: seconds(1), MaxSearches: 10000},
		Probe:  Probe{HeloName: ownName(), ConnectTimeout: seconds(5), ReplyTimeout: seconds(10)},
		Cache: Cache{
			File: "/var/lib/postwhere/cache.db", Owners: 1000000, Strangers: 100000,
			OwnerRefresh: seconds(3600), OwnerExpire: seconds(7 * 24 * 3600), NoExpire: seconds(300), UnsureExpire: seconds(10),
			SharedPrefix: "postwhere:",
		},
		Reply: Reply{
			Reject: SMTPReply{policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}},
			Defer:  SMTPReply{policy.Reply{Code: 450, Enhanced: "4.4.1", Text: "Mailbox cannot be looked up now, try again later"}},
		},
		Postfix: Postfix{Transport: "smtp"},
		Limits:  Limits{Connections: 1000, RequestTimeout: seconds(10)},
		MX:      MX{OwnNames: []string{ownName()}, Refresh: seconds(300)},
	})
	same(t, got.Cache.Options(), cache.Default()) // each says them once
}

// What a domain says of itself holds for all spellings that hosts are asked about, and
// the rest is the cache's.
func TestDomainsHaveLifetimesOfTheirOwn(t *testing.T) {
	c := parse(t, `
[[domain]]
name = ["example.com", "example.org"]
hosts = ["mail1"]
no_expire = "1m"
[[domain]]
name = ["example.net", "alias.example"]
ask_as = "Inner.example"
hosts = ["mail1"]
owner_refresh = "1d"
owner_expire = "20d"
unsure_expire = "1s"
[[domain]]
name = "plain.example"
hosts = ["mail1"]
[cache]
owner_expire = "9d"
`)
	opt := c.MemoryOptions()
	day, soon := 24*time.Hour, 30*time.Second
	com := cache.Lifetimes{Refresh: time.Hour - soon, Expire: 9 * day, No: time.Minute, Unsure: 10 * time.Second}
	same(t, opt.Domains, map[string]cache.Lifetimes{
		"example.com": com, "example.org": com,
		"Inner.example": {Refresh: day - soon, Expire: 20 * day, No: 5 * time.Minute, Unsure: time.Second},
	})
	same(t, opt.Lifetimes, cache.Lifetimes{Refresh: time.Hour - soon, Expire: 9 * day, No: 5 * time.Minute, Unsure: 10 * time.Second})
	same(t, c.LongestExpire(), 20*day)
	same(t, parse(t, one).LongestExpire(), 7*day)
	same(t, c.MostAge(), 30*time.Second)
	same(t, parse(t, one).MostAge(), time.Minute)
	short := parse(t, one+"[cache]\nowner_refresh = '20s'\n")
	same(t, short.MostAge(), 10*time.Second)
	same(t, short.MemoryOptions().Refresh, 10*time.Second)
}

func TestEveryKeyCanBeSet(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "postwhere.toml")
	text := `
[listen]
policy    = ["inet:127.0.0.1:1", "unix:/run/postwhere/policy"]
milter    = ["unix:/run/postwhere/milter"]
socketmap = []
control   = ["unix:/run//postwhere/./ctl"]
provisioning = ["inet:192.0.2.9:3", "unix:/run/postwhere/provisioning"]
[[listen.tcp_table]]
listen = "inet:[::1]:2"
map    = "alias"
[[domain]]
name   = ["Example.COM.", "bücher.example"]
hosts  = ["mail1", "Mail2.example.net:2525", "192.0.2.1", "[2001:db8::1]:26"]
ask_as = "Inner.example"
recipient_delimiter = "+-"
owners = "owners"
unsure = "pass"
host_text = true
owner_refresh = "2h"
owner_expire = "3h"
no_expire = "4s"
unsure_expire = "5s"
[[domain]]
name = "mx.example"
unsure = "defer"
[host.mail1]
probe  = "lmtp:inet:192.0.2.3"
route  = "lmtp:unix:/run/lmtp"
mailer = "cyrusv2:example.com"
method = "rcpt"
connections = 50
control = "boss@example.com"
alias_domain = "one.internal"
last_resort = true
[host."mx1.example"]
method = "vrfy"
[search]
deadline = "4m"
preference_wait = "0s"
map_wait = "1m30s"
max_searches = 1
[probe]
helo_name = "front.example.com"
sender = "probe@example.com"
connect_timeout = "1s"
reply_timeout = "2s"
[cache]
file = "memory"
owners = 1
strangers = 2
owner_refresh = "1s"
owner_expire = "1s"
no_expire = "2s"
unsure_expire = "3s"
shared = "redis://mail@redis.example:6380/3"
shared_password_file = "password"
shared_prefix = "mx:"
[reply]
reject = "551 5.7.1 Nobody here"
defer = "451 4.3.0 Later"
[bypass]
networks = ["192.0.2.0/24", "2001:db8::1", "::ffff:192.0.2.7"]
authenticated = true
senders = ["<>", "friends.example"]
recipients = ["Abuse@", "anna@example.com"]
[milter]
trace_header = "X-Owner"
[limits]
connections = 3
request_timeout = "4s"
[postfix]
transport = "moving"
[provisioning]
token_file = "token"
[mx]
own_names = ["front.example.com", "FRONT2."]
refresh = "1h"
`
	for name, text := range map[string]string{"owners": "anna@example.com mail1\n", "password": "pass word\n", "token": "0123456789abcdef==\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Parse(file, text)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, &Config{
		Listen: Listen{
			Policy:    []Listener{{"tcp", "127.0.0.1:1"}, {"unix", "/run/postwhere/policy"}},
			Milter:    []Listener{{"unix", "/run/postwhere/milter"}},
			Socketmap: []Listener{},
			Control:   []Listener{{"unix", "/run/postwhere/ctl"}},
			TCPTable:  []TCPTable{{Listener{"tcp", "[::1]:2"}, "alias"}},

			Provisioning: []Listener{{"tcp", "192.0.2.9:3"}, {"unix", "/run/postwhere/provisioning"}},
		},
		Domain: []Domain{
			{
				Name: Names{"example.com", "xn--bcher-kva.example"}, AskAs: "Inner.example",
				Hosts:              []string{"mail1", "Mail2.example.net:2525", "192.0.2.1", "[2001:db8::1]:26"},
				RecipientDelimiter: "+-", Owners: "owners", Unsure: Unsure(policy.Pass), HostText: true,
				OwnerRefresh: new(seconds(2 * 3600)), OwnerExpire: new(seconds(3 * 3600)), NoExpire: new(seconds(4)), UnsureExpire: new(seconds(5)),
			},
			{Name: Names{"mx.example"}},
		},
		Host: map[string]*Host{
			"mail1":                  {Probe: "lmtp:inet:192.0.2.3", Route: "lmtp:unix:/run/lmtp", Mailer: "cyrusv2:example.com", Method: probe.RCPT, Connections: 50, Control: "boss@example.com", AliasDomain: "one.internal", LastResort: true, TLSName: "192.0.2.3"},
			"Mail2.example.net:2525": {Probe: "smtp:inet:Mail2.example.net:2525", Route: "moving:[Mail2.example.net]:2525", Mailer: "esmtp2525:[Mail2.example.net]", Method: probe.Auto, Connections: 5, Control: "", AliasDomain: "Mail2.example.net", TLSName: "Mail2.example.net"},
			"192.0.2.1":              {Probe: "smtp:inet:192.0.2.1:25", Route: "moving:[192.0.2.1]:25", Mailer: "esmtp:[192.0.2.1]", Method: probe.Auto, Connections: 5, Control: "", AliasDomain: "192.0.2.1", TLSName: "192.0.2.1"},
			"[2001:db8::1]:26":       {Probe: "smtp:inet:[2001:db8::1]:26", Route: "moving:[2001:db8::1]:26", Mailer: "esmtp26:[IPv6:2001:db8::1]", Method: probe.Auto, Connections: 5, Control: "", AliasDomain: "2001:db8::1", TLSName: "2001:db8::1"},
			"mx1.example":            {Probe: "smtp:inet:mx1.example:25", Route: "moving:[mx1.example]:25", Mailer: "esmtp:[mx1.example]", Method: probe.VRFY, Connections: 5, Control: "", AliasDomain: "mx1.example", TLSName: "mx1.example"},
		},
		Search: Search{seconds(240), 0, seconds(90), 1},
		Probe:  Probe{"front.example.com", "probe@example.com", seconds(1), seconds(2)},
		Cache: Cache{
			dir + "/memory", 1, 2, seconds(1), seconds(1), seconds(2), seconds(3),
			SharedServer{shared.Server{Network: "tcp", Address: "redis.example:6380", DB: 3, User: "mail", Password: "pass word", Prefix: "mx:"}},
			dir + "/password", "", "mx:",
		},
		Reply: Reply{
			Reject: SMTPReply{policy.Reply{Code: 551, Enhanced: "5.7.1", Text: "Nobody here"}},
			Defer:  SMTPReply{policy.Reply{Code: 451, Enhanced: "4.3.0", Text: "Later"}},
		},
		Bypass: Bypass{
			Networks:      []Network{networkOf(t, "192.0.2.0/24"), networkOf(t, "2001:db8::1/128"), networkOf(t, "192.0.2.7/32")},
			Authenticated: true,
			Senders:       []Pattern{patternOf(t, "<>"), patternOf(t, "friends.example")},
			Recipients:    []Pattern{patternOf(t, "Abuse@"), patternOf(t, "anna@example.com")},
		},
		Milter:  Milter{"X-Owner"},
		Limits:  Limits{3, seconds(4)},
		Postfix: Postfix{"moving"},
		MX:      MX{[]string{"front.example.com", "FRONT2."}, seconds(3600)},

		Provisioning: Provisioning{TokenFile: dir + "/token"},
	})
	same(t, got.Provisioning.Token(), "0123456789abcdef==")
	same(t, got.Domain[0].OwnerList(), map[string]string{"anna@example.com": "mail1"})
}

func networkOf(t *testing.T, s string) Network {
	t.Helper()
	p, err := netip.ParsePrefix(s)
	if err != nil {
		t.Fatal(err)
	}
	return Network{p}
}

func patternOf(t *testing.T, s string) Pattern {
	t.Helper()
	p, err := policy.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return Pattern{p, s}
}

func TestGoodFilesThatLookOdd(t *testing.T) {
	for name, text := range map[string]string{
		"hosts by MX":                      "[[domain]]\nname = 'example.com'\n",
		"hosts by MX, explicitly":          "[[domain]]\nname = 'example.com'\nhosts = []\n",
		"asked as itself":                  one + "ask_as = 'EXAMPLE.com'\n",
		"one host of two domains":          one + "[[domain]]\nname = 'example.org'\nhosts = ['mail1']\n",
		"one machine on two ports":         "[[domain]]\nname = 'example.com'\nhosts = ['mail1', 'mail1:2525']\n",
		"any port, twice":                  one + "[listen]\npolicy = ['inet:127.0.0.1:0']\nsocketmap = ['inet:127.0.0.1:0']\n",
		"settings of a host that MX names": "[[domain]]\nname = 'example.com'\n[host.'mx1.example.com']\nmethod = 'rcpt'\n",
		"a last resort by MX":              "[[domain]]\nname = 'example.com'\n[host.'mx1.example.com']\nlast_resort = true\n",
		"underscore in a name":             "[[domain]]\nname = 'in_house.example'\nhosts = ['mail_1']\n",
		"a single domain as a table":       "[domain]\nname = 'example.com'\nhosts = ['mail1']\n",
		"comments and CRLF":                "# mine\r\n[[domain]] # ours\r\nname = 'example.com'\r\n",
	} {
		t.Run(name, func(t *testing.T) { parse(t, text) })
	}
}

// What MX names gets the settings that the file has for it, else the defaults.
func TestHostOfMXHasItsSettings(t *testing.T) {
	c := parse(t, "[[domain]]\nname = 'example.com'\n[host.'mx1.example.com']\nmethod = 'rcpt'\n")
	known, err := c.HostOf("mx1.example.com")
	same(t, err, nil)
	same(t, known, Host{Probe: "smtp:inet:mx1.example.com:25", Route: "smtp:[mx1.example.com]:25", Mailer: "esmtp:[mx1.example.com]", Method: probe.RCPT, Connections: 5, AliasDomain: "mx1.example.com", TLSName: "mx1.example.com"})
	unknown, err := c.HostOf("mx2.example.com")
	same(t, err, nil)
	same(t, unknown, Host{Probe: "smtp:inet:mx2.example.com:25", Route: "smtp:[mx2.example.com]:25", Mailer: "esmtp:[mx2.example.com]", Connections: 5, AliasDomain: "mx2.example.com", TLSName: "mx2.example.com"})
	if _, err := c.HostOf("mx 3"); err == nil {
		t.Error("a host name with a blank was accepted")
	}
}
