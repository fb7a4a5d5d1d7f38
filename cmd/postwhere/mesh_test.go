package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// machine is front end and mailbox host at once: a real Postfix with a front door
// and an inner door, and a daemon.
type machine struct {
	*realhost.Host
	name   string
	ip     string
	daemon *daemon
	events *recorder
}

// mesh of three machines, of which each has a loopback address of its own, from
// which it connects, too.
type testMesh []*machine

// newMesh starts three machines by the configuration that is in the README, with
// more of it behind. They are attached by the very commands that `postwhere postfix
// --mesh` prints.
func newMesh(t *testing.T, more string) testMesh {
	t.Helper()
	m := newMachines(t)
	text := m.configuration(t)
	var configs []string
	for i, at := range m {
		configs = append(configs, m.configurationOf(i, text)+more)
		at.attach(t, configs[i], byMesh)
	}
	for _, at := range m {
		at.inside(t, at.ip).cmd(t, "QUIT", "221")
	}
	for i, at := range m {
		at.daemon, at.events = startDaemon(t, configs[i])
	}
	return m
}

// newMachines starts the three, not attached yet.
func newMachines(t *testing.T) testMesh {
	t.Helper()
	realhost.Need(t, "postfix")
	var m testMesh
	for i := range 3 {
		at := &machine{
			name: fmt.Sprintf("mail%d", i+1),
			ip:   fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254)),
		}
		var mailboxes []string
		for user, host := range users {
			if host == at.name {
				mailboxes = append(mailboxes, user+"@example.com")
			}
		}
		at.Host = realhost.PostfixConfig{
			SMTP: []realhost.SMTPService{{Addr: at.ip + ":0"}},
			Main: map[string]string{
				"smtp_bind_address":  at.ip,
				"virtual_alias_maps": "texthash:$config_directory/aliases",
			},
			Files: map[string]string{"aliases": ""},
		}.MailHost(t, "", mailboxes...)
		m = append(m, at)
	}
	return m
}

// configuration returns what the first machine has in the README, with the
// addresses of the test, as if none of the hosts were the machine itself.
func (m testMesh) configuration(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/mesh.toml")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Replace(string(text), `"virtual:"`, `"mesh:[192.0.2.1]:10050"`, 1)
	for i, at := range m {
		all = strings.ReplaceAll(all, fmt.Sprintf("192.0.2.%d", i+1), at.ip)
	}
	return all
}

// configurationOf returns what one of the machines has.
func (m testMesh) configurationOf(i int, all string) string {
	at := m[i]
	text := strings.Replace(all, `"mesh:[`+at.ip+`]:10050"`, `"virtual:"`, 1)
	text = strings.ReplaceAll(text, "\nroute", "\nbind_address = \""+at.ip+"\"\nroute")
	return fmt.Sprintf(`
[listen]
policy    = ["inet:%[1]s:10045"]
socketmap = ["inet:%[1]s:10047"]
control   = []

[search]
deadline = "10s"

[probe]
helo_name = "%[2]s.test"
`, at.ip, at.name) + text
}

// quick makes the files look old before each command: Postfix reads a file again and
// again, with pauses, until its last change is a second ago (dict_load_file_xt).
const quick = `
old() { touch -d '1 minute ago' "$MAIL_CONFIG"/*.cf; command "$@"; }
postconf() { old postconf "$@"; }
postfix() { old postfix "$@"; }
`

// attach runs what `postwhere postfix` prints for a configuration.
func (at *machine) attach(t *testing.T, text string, way attachment) {
	t.Helper()
	cfg, err := config.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := postfixLines(cfg, way)
	if err != nil {
		t.Fatal(err)
	}
	// The service on port 25 has another name here.
	at.Run(t, "sh", "-ec", quick+strings.ReplaceAll(lines, "smtp/inet", at.Addr()+"/inet"))
}

// inside opens a session at the inner door from an address. It waits for a door
// that is just being opened.
func (at *machine) inside(t *testing.T, from string) *client {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	for begun := time.Now(); ; {
		raw, err := dialer.Dial("tcp", at.ip+":10050")
		if err != nil {
			if time.Since(begun) > 30*time.Second {
				t.Fatal(err)
			}
			continue
		}
		conn := textproto.NewConn(raw)
		t.Cleanup(func() { _ = conn.Close() })
		c := &client{conn}
		if _, _, err := conn.ReadResponse(220); err != nil {
			t.Fatal(err)
		}
		c.cmd(t, "EHLO peer.test", "250")
		return c
	}
}

// change changes a machine's tables. Sessions that are open would go on with the old
// ones.
func (at *machine) change(t *testing.T, tables func()) {
	t.Helper()
	at.Stop(t)
	tables()
	at.Start(t)
}

// move moves a mailbox.
func move(t *testing.T, rcpt string, from, to *machine) {
	t.Helper()
	to.change(t, func() { to.AddMailbox(t, rcpt) })
	from.change(t, func() { from.RemoveMailbox(t, rcpt) })
}

// arrives sends a message at one machine and sees that it arrives in each mailbox
// after the least number of hops.
func (m testMesh) arrives(t *testing.T, at *machine, subject string, owners map[string]*machine) {
	t.Helper()
	var rcpts []string
	for rcpt := range owners {
		rcpts = append(rcpts, rcpt)
	}
	slices.Sort(rcpts)
	dialSMTP(t, at.Addr()).send(t, subject, rcpts...)
	for rcpt, owner := range owners {
		want := 2
		if owner == at {
			want = 1
		}
		message := owner.WaitMessage(t, rcpt, "Subject: "+subject+"\n")
		if got := strings.Count(message, "\nReceived: "); got != want {
			t.Errorf("%s for %s: %d hops from %s to %s, want %d:\n%s", subject, rcpt, got, at.name, owner.name, want, message)
		}
		for _, other := range m {
			if other == owner {
				continue
			}
			for _, message := range other.Messages(t, rcpt) {
				if strings.Contains(message, "Subject: "+subject+"\n") {
					t.Errorf("%s for %s is on %s, too", subject, rcpt, other.name)
				}
			}
		}
	}
}

// wantsSoon tries at a machine's front door, as a sender does, while the reply is 4xx.
func (at *machine) wantsSoon(t *testing.T, rcpt, want string) {
	t.Helper()
	(&site{front: at.Server}).wantsSoon(t, rcpt, want)
}

// remembers waits until a machine's daemon takes another for the owner.
func (at *machine) remembers(t *testing.T, rcpt string, owner *machine) {
	t.Helper()
	var f policy.Finding
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < 30*time.Second; <-tick.C {
		var err error
		if f, err = at.daemon.Search(t.Context(), policy.Request{Recipient: rcpt, Face: "test"}); err != nil {
			t.Fatal(err)
		}
		if f.Verdict == policy.Deliver && f.Host.Name == owner.name {
			return
		}
	}
	t.Fatalf("%s takes %+v for the owner of %s, want %s", at.name, f, rcpt, owner.name)
}

// asksAnew has the queue manager ask about another mailbox: it remembers the last
// answer for 30 s (src/global/resolve_clnt.c), and the moved mailbox would wait.
func (at *machine) asksAnew(t *testing.T, m testMesh) {
	t.Helper()
	m.arrives(t, at, fmt.Sprintf("another at %s, %d", at.name, rand.Int()), map[string]*machine{"bert@example.com": m[1]})
}

const soon = `
[cache]
unsure_expire = "100ms" # so that a test need not wait before it tries again
`

func TestMesh(t *testing.T) {
	t.Parallel()
	m := newMesh(t, soon)
	one, two, three := m[0], m[1], m[2]
	for _, at := range m {
		m.arrives(t, at, "one at "+at.name, map[string]*machine{"anna@example.com": one})
		m.arrives(t, at, "two at "+at.name, map[string]*machine{"bert@example.com": two})
		m.arrives(t, at, "three at "+at.name, map[string]*machine{"carla@example.com": three})
		m.arrives(t, at, "all at "+at.name, map[string]*machine{
			"anna@example.com": one, "bert@example.com": two, "carla@example.com": three,
		})
		dialSMTP(t, at.Addr()).wants(t, "nobody@example.com", "550 5.1.1")
	}
	t.Run("inner door", func(t *testing.T) { innerDoorOf(t, one, two) })
	t.Run("aliases", func(t *testing.T) { aliasesIn(t, m) })
	t.Run("one machine down", func(t *testing.T) { oneDown(t, m) })
	m.quiet(t)
}

// innerDoorOf looks at who may ask there, and what.
func innerDoorOf(t *testing.T, at, peer *machine) {
	for _, from := range []string{peer.ip, at.ip} {
		c := at.inside(t, from)
		c.cmd(t, "VRFY anna@example.com", "252 2.0.0")
		c.cmd(t, "VRFY bert@example.com", "550 5.1.1")
		c.cmd(t, "VRFY someone@elsewhere.example", "554 5.7.1")
		c.mail(t)
		c.rcpt(t, "nobody@example.com", "550 5.1.1")
		c.rcpt(t, "bert@example.com", "550 5.1.1")
		c.rcpt(t, "someone@elsewhere.example", "554 5.7.1")
		c.rcpt(t, "anna@example.com", "250")
	}
	c := at.inside(t, "127.0.0.1") // of mynetworks or not, but no peer
	c.cmd(t, "VRFY anna@example.com", "450 4.3.2")
	c.cmd(t, "VRFY nobody@example.com", "450 4.3.2")
	c.mail(t)
	c.rcpt(t, "anna@example.com", "450 4.3.2")
	c.rcpt(t, "someone@elsewhere.example", "4")
}

// An alias is known where it is in virtual_alias_maps, to all of the mesh, and
// leads anywhere in it.
func aliasesIn(t *testing.T, m testMesh) {
	one, two, three := m[0], m[1], m[2]
	two.change(t, func() {
		two.WriteFile(t, "aliases", "info@example.com anna@example.com, bert@example.com\n")
	})
	for _, at := range m {
		subject := "for info at " + at.name
		at.wantsSoon(t, "info@example.com", "250")
		dialSMTP(t, at.Addr()).send(t, subject, "info@example.com")
		one.WaitMessage(t, "anna@example.com", subject)
		two.WaitMessage(t, "bert@example.com", subject)
	}
	dialSMTP(t, three.Addr()).wants(t, "information@example.com", "550 5.1.1")
}

// oneDown stops the third machine and has it back.
func oneDown(t *testing.T, m testMesh) {
	one, two, three := m[0], m[1], m[2]
	three.Stop(t)
	for _, at := range m[:2] {
		dialSMTP(t, at.Addr()).wants(t, "nobody2@example.com", "450 4.4.1")
		dialSMTP(t, at.Addr()).wants(t, "dora@example.com", "450 4.4.1") // not known yet
		m.arrives(t, at, "while three is down, at "+at.name, map[string]*machine{"anna@example.com": one, "bert@example.com": two})
		dialSMTP(t, at.Addr()).send(t, "known and waiting at "+at.name, "carla@example.com")
		at.WaitLog(t, `to=<carla@example.com>.*status=deferred`)
	}
	three.Start(t)
	for _, at := range m[:2] {
		at.wantsSoon(t, "nobody2@example.com", "550 5.1.1")
		at.wantsSoon(t, "dora@example.com", "250")
		at.Run(t, "postqueue", "-f")
		three.WaitMessage(t, "carla@example.com", "known and waiting at "+at.name)
	}
	m.arrives(t, three, "back again", map[string]*machine{"anna@example.com": one, "bert@example.com": two, "eva@example.com": three})
}

// quiet fails the test if mail has gone in circles, or was bounced.
func (m testMesh) quiet(t *testing.T) {
	t.Helper()
	for _, at := range m {
		for line := range strings.Lines(at.Log()) {
			for _, bad := range []string{"too many hops", "loops back", "status=bounced", "fatal:", "do not list domain", "panic:"} {
				if strings.Contains(line, bad) {
					t.Errorf("%s: %s", at.name, line)
				}
			}
		}
	}
}

// A mailbox that moved is followed once its owner was asked again.
func TestMeshFollowsAMailbox(t *testing.T) {
	t.Parallel()
	m := newMesh(t, soon+`owner_refresh = "10ms"`+"\n")
	one, two, three := m[0], m[1], m[2]
	for _, at := range m {
		m.arrives(t, at, "before, at "+at.name, map[string]*machine{"anna@example.com": one})
	}
	move(t, "anna@example.com", one, two)
	for _, at := range m {
		at.remembers(t, "anna@example.com", two)
		at.asksAnew(t, m)
		m.arrives(t, at, "after, at "+at.name, map[string]*machine{"anna@example.com": two})
	}
	move(t, "anna@example.com", two, three)
	for _, at := range m {
		at.remembers(t, "anna@example.com", three)
		at.asksAnew(t, m)
		m.arrives(t, at, "later, at "+at.name, map[string]*machine{"anna@example.com": three})
	}
	m.quiet(t)
}

// Whatever the machines remember, mail neither bounces nor goes in circles.
func TestMeshWithMemoriesOfOldTimes(t *testing.T) {
	t.Parallel()
	m := newMesh(t, soon) // an owner stands for an hour
	one, two, three := m[0], m[1], m[2]
	two.remembers(t, "anna@example.com", one)
	three.remembers(t, "anna@example.com", one)
	move(t, "anna@example.com", one, two)
	one.remembers(t, "anna@example.com", two)

	// Three sends it to one, which has it no more: it waits.
	dialSMTP(t, three.Addr()).send(t, "waiting", "anna@example.com")
	three.WaitLog(t, `to=<anna@example.com>.*status=deferred.* said: 450 4\.1\.1 `)
	m.arrives(t, one, "at one, which knows", map[string]*machine{"anna@example.com": two})

	// Two takes one for the owner, but has the mailbox.
	m.arrives(t, two, "at two, which has it", map[string]*machine{"anna@example.com": two})

	// Now both have it, and each takes the other for the owner.
	one.change(t, func() { one.AddMailbox(t, "anna@example.com") })
	one.remembers(t, "anna@example.com", two)
	two.remembers(t, "anna@example.com", one)
	m.arrives(t, one, "both have it, at one", map[string]*machine{"anna@example.com": one})
	m.arrives(t, two, "both have it, at two", map[string]*machine{"anna@example.com": two})
	three.asksAnew(t, m)
	three.Run(t, "postqueue", "-f")
	one.WaitMessage(t, "anna@example.com", "Subject: waiting\n")
	m.quiet(t)
}

// Machines that list each other by their front doors do not ask in circles. What
// they know is not found out, so mail waits at the sender.
func TestMeshOfFrontDoors(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]attachment{"policy": byPolicy, "recipient map": byRecipientMap, "map only": byMapOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frontDoors(t, way)
		})
	}
}

func frontDoors(t *testing.T, way attachment) {
	m := newMachines(t)
	all := m.configuration(t)
	for _, at := range m {
		all = strings.ReplaceAll(all, at.ip+":10050", at.Addr())
		all = strings.ReplaceAll(all, "mesh:["+at.ip+"]:10050", "smtp:["+at.ip+"]:"+strings.TrimPrefix(at.Addr(), at.ip+":"))
	}
	for i, at := range m {
		text := m.configurationOf(i, all) + soon
		at.daemon, at.events = startDaemon(t, text)
		at.attach(t, text, way)
	}
	const recipients = 5
	for _, at := range m {
		at.wantsSoon(t, "anna@example.com", "4")
		begun := time.Now()
		for i := range recipients {
			dialSMTP(t, at.Addr()).wants(t, fmt.Sprintf("nobody%d@example.com", i), "4")
		}
		dialSMTP(t, at.Addr()).wants(t, "anna@example.com", "4")
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%d look-ups at %s took %v", recipients, at.name, took)
		}
	}
	for _, at := range m {
		at.Stop(t) // before its daemon, which waits for the connections of smtpd
	}
	for _, at := range m {
		// Policy sees all probes, Postfix logs those that it says no to.
		probes := strings.Count(at.Log(), "helo=<postwhere-")
		for _, e := range at.events.all() {
			switch {
			case !strings.HasSuffix(e.request.Recipient, "@example.com"): // a sender
			case strings.HasPrefix(e.request.Helo, "postwhere-"):
				probes++
				if e.finding.Verdict != policy.Pass {
					t.Errorf("%s answers a probe by %s", at.name, e.finding.Verdict)
				}
			case e.finding.Verdict != policy.Defer:
				t.Errorf("%s: %s for %s", at.name, e.finding.Verdict, e.request.Recipient)
			}
		}
		t.Logf("%s was asked %d times", at.name, probes)
		// By each machine, about what was asked for at each, and about nonsense.
		if most := 3 * 3 * (recipients + 10); probes > most {
			t.Errorf("%s was asked %d times, want no more than %d", at.name, probes, most)
		}
	}
}

// What the README shows is what the test runs by.
func TestMeshOfTheREADME(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := os.ReadFile("testdata/mesh.toml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```toml\n"+string(shown)+"```") {
		t.Error("the README's configuration is not that of testdata/mesh.toml")
	}
}
