package config

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// one is a domain and its host; what follows it in a test begins on line 4.
const one = `[[domain]]
name  = "example.com"
hosts = ["mail1"]
`

// bad are files with one thing wrong, and all that is said of it.
type bad []struct{ name, text, want string }

func (files bad) test(t *testing.T) {
	t.Helper()
	for _, f := range files {
		t.Run(f.name, func(t *testing.T) {
			c, err := Parse("p.toml", f.text)
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			if diff := cmp.Diff(strings.TrimSpace(f.want), err.Error()); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoConfigurationIsRefusedWithItsPlace(t *testing.T) {
	bad{
		{"unknown section", "[listne]\n" + one, `p.toml:1:2: unknown key "listne": did you mean "listen"?`},
		{"unknown key at the top", "domains = []\n" + one, `p.toml:1:1: unknown key "domains": did you mean "domain"?`},
		{"unknown key of a section", one + "[search]\ndeadlin = '1s'\n", `p.toml:5:1: unknown key "search.deadlin": did you mean "deadline"?`},
		{"unknown key of a domain", one + "[[domain]]\nname = 'a.example'\nhost = ['mail2']\n", `p.toml:6:1: unknown key "domain.host": did you mean "hosts"?`},
		{"unknown key of a host", one + "[host.mail1]\n  port = 26\n", `p.toml:5:3: unknown key "host.mail1.port"`},
		{"host without quotes", one + "[host.mail1.example.net]\ntls = 'none'\n", `p.toml:4:2: unknown key "host.mail1.example.net": a name with dots goes in quotes, [host."mail1.example.net"]`},
		{"two unknown keys", one + "[search]\na = 1\n[cache]\n  b = 1\n", `
p.toml:5:1: unknown key "search.a"
p.toml:7:3: unknown key "cache.b"`},
		{"section not closed", one + "[search\n", `p.toml:4:8: expected ']' to close table name`},
		{"no value", one + "x = \n", `p.toml:4:5: unexpected character U+000A at start of value`},
		{"key twice", one + "hosts = ['mail2']\n", `p.toml:4:1: hosts: key hosts is already defined`},
		{"section twice", one + "[search]\n[search]\n", `p.toml:5:2: search: table search already exists: put its keys below the [search] of line 4`},
		{"section twice, with remarks", one + "[search] # once\n[cache]\n [search] # again\n", `p.toml:6:3: search: table search already exists: put its keys below the [search] of line 4`},
		{"host twice", one + "[host.\"mail1\"]\n[host.mail1]\n", `p.toml:5:2: host.mail1: table mail1 already exists`},
		{"number too large", one + "[cache]\nowners = 99999999999999999999\n",
			`p.toml:5:10: cache.owners: decimal number is too large to fit in a 64-bit signed integer`},
	}.test(t)
}

func TestValueOfTheWrongTypeIsRefused(t *testing.T) {
	bad{
		{"text for a number", one + "[search]\nmax_searches = '10'\n", `p.toml:5:16: search.max_searches: want a number, got string`},
		{"fraction for a number", one + "[search]\nmax_searches = 1.5\n", `p.toml:5:16: search.max_searches: want a number, got float`},
		{"text for a list", one + "[listen]\npolicy = 'inet:127.0.0.1:1'\n", `p.toml:5:10: listen.policy: want a list, got string`},
		{"text for a list of hosts", "[[domain]]\nname = 'example.com'\nhosts = 'mail1'\n", `p.toml:3:9: domain.hosts: want a list, got string`},
		{"text for a table", one + "[host]\nmail1 = 'mail1.example.net'\n", `p.toml:5:9: host.mail1: want a table, got string`},
		{"text for a section", "search = '1s'\n" + one, `p.toml:1:10: search: want a table, got string`},
		{"text for a domain", "domain = 'example.com'\n", `p.toml:1:10: domain: want a list, got string`},
		{"list for a text", one + "[[listen.tcp_table]]\nlisten = ['inet:127.0.0.1:1']\n", `p.toml:5:10: listen.tcp_table.listen: want text in quotes, got array`},
		{"list for a time", one + "[search]\ndeadline = ['1s']\n", `p.toml:5:12: search.deadline: want text in quotes, got array`},
		{"number for text", one + "[probe]\nhelo_name = 5\n", `p.toml:5:13: probe.helo_name: want text in quotes, got integer`},
		{"number in a list of names", "[[domain]]\nname = [5]\nhosts = ['mail1']\n", `p.toml:2:9: domain.name: want text in quotes, got integer`},
		// The decoder itself lets these through.
		{"number for a time", one + "[search]\ndeadline = 10\n", `p.toml: search.deadline = 10: want a time with its unit, in quotes: "10s"`},
		{"negative number for a time", one + "[search]\nDeadline = -1000000000\n", `p.toml: search.Deadline = -1000000000: want a time with its unit, in quotes: "-1000000000s"`},
		{"date for a time", one + "[search]\ndeadline = 2026-01-02\n", `p.toml:5:12: search.deadline: want text in quotes, got local date`},
		{"number for a name", "[[domain]]\nname = 5\nhosts = ['mail1']\n", `p.toml: domain[1].name = 5: want text in quotes`},
		{"number for a name in a single table", "[domain]\nname = 5\nhosts = ['mail1']\n", `p.toml: domain.name = 5: want text in quotes`},
		{"number for a listener", one + "[listen]\npolicy = ['inet:127.0.0.1:1', 5]\n", `p.toml: listen.policy[2] = 5: want text in quotes`},
		{"number for a reply", one + "[reply]\nreject = 550\n", `p.toml: reply.reject = 550: want text in quotes`},
		{"number for a method", one + "[host.mail1]\nmethod = 0\n", `p.toml: host.mail1.method = 0: want text in quotes`},
		{"boolean for a method", one + "[host.mail1]\nmethod = true\n", `p.toml: host.mail1.method = true: want text in quotes`},
	}.test(t)
}

func TestBadDomainIsRefused(t *testing.T) {
	bad{
		{"empty file", "", `p.toml: there is no [[domain]]: name at least one, with its hosts, or run postwhere setup`},
		{"no domain", "[search]\ndeadline = '1s'\n", `p.toml: there is no [[domain]]: name at least one, with its hosts, or run postwhere setup`},
		{"no name", one + "[[domain]]\nhosts = ['mail2']\n", `p.toml: domain 2 has no name: say name = "example.com" in [[domain]]`},
		{"no names", "[[domain]]\nname = []\nhosts = ['mail2']\n", `p.toml: domain 1 has no name: say name = "example.com" in [[domain]]`},
		{"empty name", "[[domain]]\nname = ''\nhosts = ['mail2']\n", `p.toml: domain 1: domain "": want labels between single dots, 255 octets at most`},
		{"no domain name", "[[domain]]\nname = 'anna@example.com'\nhosts = ['mail2']\n", `p.toml: domain 1: domain "anna@example.com": character '@'`},
		{"name in two domains", one + "[[domain]]\nname = 'example.com'\nhosts = ['mail2']\n", sameName("example.com")},
		{"name in two domains by case and dot", one + "[[domain]]\nname = 'Example.COM.'\nhosts = ['mail2']\n", sameName("Example.COM.")},
		{"name in two domains by IDNA", "[[domain]]\nname = 'xn--bcher-kva.example'\n" + "[[domain]]\nname = ['a.example', 'Bücher.example']\n", sameName("Bücher.example")},
		{"name that another asks as", one + "[[domain]]\nname = 'a.example'\nask_as = 'example.com'\n", sameName("example.com")},
		{"two ask as one", "[[domain]]\nname = 'a.example'\nask_as = 'in.example'\n[[domain]]\nname = 'b.example'\nask_as = 'IN.example'\n", sameName("IN.example")},
		{"name twice in one", "[[domain]]\nname = ['example.com', 'EXAMPLE.com']\n", `p.toml: domain 1 has the name EXAMPLE.com twice`},
		{"ask_as no domain", "[[domain]]\nname = 'a.example'\nask_as = 'in..example'\n", `p.toml: domain 1: domain "in..example": want labels between single dots, 255 octets at most`},
		{"delimiter a letter", "[[domain]]\nname = 'a.example'\nrecipient_delimiter = 'x'\n", `p.toml: domain a.example: recipient_delimiter "x": want punctuation such as "+" or "+-"`},
		{"delimiter an at", "[[domain]]\nname = 'a.example'\nrecipient_delimiter = '+@'\n", `p.toml: domain a.example: recipient_delimiter "+@": want punctuation such as "+" or "+-"`},
		{"unsure", one + "unsure = 'reject'\n", `p.toml:4:10: domain.unsure: unsure "reject": want defer or pass`},
		{"unsure a number", one + "unsure = 3\n", `p.toml: domain[1].unsure = 3: want text in quotes`},
		{"host_text no boolean", one + "host_text = 1\n", `p.toml:4:13: domain.host_text: want true or false, got integer`},
		{"delimiter a blank", "[[domain]]\nrecipient_delimiter = ' '\n", `
p.toml: domain 1 has no name: say name = "example.com" in [[domain]]
p.toml: domain 1: recipient_delimiter " ": want punctuation such as "+" or "+-"`},
	}.test(t)
}

func sameName(name string) string {
	return "p.toml: domains 1 and 2 have one name, " + name + ": put the hosts into one [[domain]]"
}

func TestBadHostIsRefused(t *testing.T) {
	bad{
		{"host twice", "[[domain]]\nname = 'a.example'\nhosts = ['mail1', 'mail2', 'mail1']\n", `p.toml: domain a.example has the host mail1 twice`},
		{"host twice by case", "[[domain]]\nname = 'a.example'\nhosts = ['mail1', 'Mail1']\n", `p.toml: domain a.example has the host Mail1 twice`},
		{"empty host", "[[domain]]\nname = 'a.example'\nhosts = ['']\n", `p.toml: host "": "": no host name in it`},
		{"host no name", "[[domain]]\nname = 'a.example'\nhosts = ['bücher.example']\n", `p.toml: host "bücher.example": "bücher.example" is no host name: want NAME or NAME:PORT`},
		{"host an address", "[[domain]]\nname = 'a.example'\nhosts = ['anna@mail1']\n", `p.toml: host "anna@mail1": "anna@mail1": no host name in it`},
		{"port out of range", "[[domain]]\nname = 'a.example'\nhosts = ['mail1:99999']\n", `p.toml: host "mail1:99999": "mail1:99999": port "99999": want 1 to 65535`},
		{"port no number", "[[domain]]\nname = 'a.example'\nhosts = ['mail1:smtp']\n", `p.toml: host "mail1:smtp": "mail1:smtp": port "smtp": want 1 to 65535`},
		{"settings of no host", one + "[host.mail2]\n", `p.toml: [host."mail2"] is in no domain's hosts: want a host as it is spelled there, port included, or no such section`},
		{"settings of a host with its port", one + "[host.'mail1:25']\n", `p.toml: [host."mail1:25"] is in no domain's hosts: want a host as it is spelled there, port included, or no such section`},
		{"settings of an MX host in capitals", "[[domain]]\nname = 'a.example'\n[host.'MX.a.example.']\n", `p.toml: [host."MX.a.example."] is in no domain's hosts, and an MX host is called "mx.a.example" here`},
		{"probe", one + "[host.mail1]\nprobe = 'x:y:z'\n", `p.toml: host "mail1": probe: endpoint "x:y:z": "x:y:z": want HOST or HOST:PORT`},
		{"probe by a relative path", one + "[host.mail1]\nprobe = 'lmtp:unix:private/lmtp'\n", `p.toml: host "mail1": probe: endpoint "lmtp:unix:private/lmtp": want an absolute path behind unix:`},
		{"route without transport", one + "[host.mail1]\nroute = 'mail1'\n", `p.toml: host "mail1": route "mail1": want a transport(5) value such as smtp:[mail1]:25`},
		{"route with a blank", one + "[host.mail1]\nroute = 'smtp:mail1 x'\n", `p.toml: host "mail1": route "smtp:mail1 x": want a transport(5) value such as smtp:[mail1]:25`},
		{"route that leads to the MX", one + "[host.mail1]\nroute = ':'\n", `p.toml: host "mail1": route ":": want a transport(5) value such as smtp:[mail1]:25`},
		{"mailer without a mailer", one + "[host.mail1]\nmailer = '[mail1]'\n", `p.toml: host "mail1": mailer "[mail1]": want a value of Sendmail's mailertable such as esmtp:[mail1]`},
		{"mailer with a macro", one + "[host.mail1]\nmailer = 'esmtp:$j'\n", `p.toml: host "mail1": mailer "esmtp:$j": want a value of Sendmail's mailertable such as esmtp:[mail1]`},
		{"mailer without a host", one + "[host.mail1]\nmailer = 'cyrusv2:'\n", `p.toml: host "mail1": mailer "cyrusv2:": want a value of Sendmail's mailertable such as esmtp:[mail1]`},
		{"mailer with a user", one + "[host.mail1]\nmailer = 'esmtp:root@mail1'\n", `p.toml: host "mail1": mailer "esmtp:root@mail1": want a value of Sendmail's mailertable such as esmtp:[mail1]`},
		{"mailer that refuses", one + "[host.mail1]\nmailer = 'error:nouser'\n", `p.toml: host "mail1": mailer "error:nouser" refuses or drops the mail of a mailbox that is there: want the way to it, such as esmtp:[mail1]`},
		{"method", one + "[host.mail1]\nmethod = 'expn'\n", `p.toml:5:10: host.mail1.method: method "expn": want auto, vrfy, rcpt or minger`},
		{"too many connections", one + "[host.mail1]\nconnections = 51\n", `p.toml: host "mail1": connections = 51: want 1 to 50, which is what Postfix grants a client`},
		{"no connections", one + "[host.mail1]\nconnections = 0\n", "p.toml: host.mail1.connections = 0: want 1 to 50; `postwhere drain` takes a host out of the asking"},
		{"connections in words", one + "[host.mail1]\nconnections = 'few'\n", `p.toml:5:15: host.mail1.connections: want a number, got string`},
		{"negative connections", one + "[host.mail1]\nconnections = -1\n", `p.toml: host "mail1": connections = -1: want 1 to 50, which is what Postfix grants a client`},
		{"control", one + "[host.mail1]\ncontrol = 'postmaster'\n", `p.toml: host "mail1": control: not an address: want local-part@domain, got "postmaster"`},
		{"alias_domain", one + "[host.mail1]\nalias_domain = 'a b'\n", `p.toml: host "mail1": alias_domain "a b": want a domain name`},
		{"last_resort no boolean", one + "[host.mail1]\nlast_resort = 'yes'\n", `p.toml:5:15: host.mail1.last_resort: want true or false, got string`},
		{"last resort without another host", one + "[host.mail1]\nlast_resort = true\n", `p.toml: domain example.com has no host but mail1: last_resort is for what others have said no to`},
		{"two last resorts", "[[domain]]\nname = 'a.example'\nhosts = ['mail1', 'mail2', 'mail3']\n[host.mail1]\nlast_resort = true\n[host.mail3]\nlast_resort = true\n",
			`p.toml: domain a.example has 2 hosts with last_resort: mail1, mail3: want one at most`},
	}.test(t)
}
