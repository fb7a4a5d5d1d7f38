package attach

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

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
		testbed.DialSMTP(t, at.Addr()).Wants(t, "nobody@example.com", "550 5.1.1")
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
		c.Cmd(t, "VRFY anna@example.com", "252 2.0.0")
		c.Cmd(t, "VRFY bert@example.com", "550 5.1.1")
		c.Cmd(t, "VRFY someone@elsewhere.example", "554 5.7.1")
		c.Mail(t)
		c.Rcpt(t, "nobody@example.com", "550 5.1.1")
		c.Rcpt(t, "bert@example.com", "550 5.1.1")
		c.Rcpt(t, "someone@elsewhere.example", "554 5.7.1")
		c.Rcpt(t, "anna@example.com", "250")
	}
	c := at.inside(t, "127.0.0.1") // of mynetworks or not, but no peer
	c.Cmd(t, "VRFY anna@example.com", "450 4.3.2")
	c.Cmd(t, "VRFY nobody@example.com", "450 4.3.2")
	c.Mail(t)
	c.Rcpt(t, "anna@example.com", "450 4.3.2")
	c.Rcpt(t, "someone@elsewhere.example", "4")
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
		testbed.DialSMTP(t, at.Addr()).Send(t, subject, "info@example.com")
		one.WaitMessage(t, "anna@example.com", subject)
		two.WaitMessage(t, "bert@example.com", subject)
	}
	testbed.DialSMTP(t, three.Addr()).Wants(t, "information@example.com", "550 5.1.1")
}

// oneDown stops the third machine and has it back.
func oneDown(t *testing.T, m testMesh) {
	one, two, three := m[0], m[1], m[2]
	three.Stop(t)
	for _, at := range m[:2] {
		testbed.DialSMTP(t, at.Addr()).Wants(t, "nobody2@example.com", "450 4.4.1")
		testbed.DialSMTP(t, at.Addr()).Wants(t, "dora@example.com", "450 4.4.1") // not known yet
		m.arrives(t, at, "while three is down, at "+at.name, map[string]*machine{"anna@example.com": one, "bert@example.com": two})
		testbed.DialSMTP(t, at.Addr()).Send(t, "known and waiting at "+at.name, "carla@example.com")
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
	testbed.DialSMTP(t, three.Addr()).Send(t, "waiting", "anna@example.com")
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
	for name, way := range map[string]Way{"policy": ByPolicy, "recipient map": ByRecipientMap, "map only": ByMapOnly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frontDoors(t, way)
		})
	}
}

func frontDoors(t *testing.T, way Way) {
	m := newMachines(t)
	all := m.configuration(t)
	for _, at := range m {
		all = strings.ReplaceAll(all, at.ip+":10050", at.Addr())
		all = strings.ReplaceAll(all, "mesh:["+at.ip+"]:10050", "smtp:["+at.ip+"]:"+strings.TrimPrefix(at.Addr(), at.ip+":"))
	}
	for i, at := range m {
		at.attach(t, m.configurationOf(i, all)+soon, way)
	}
	for i, at := range m {
		testbed.DialSMTP(t, at.Addr()).Cmd(t, "QUIT", "221")
		at.daemon, at.events = startDaemon(t, m.configurationOf(i, all)+soon)
	}
	const recipients = 5
	for _, at := range m {
		at.wantsSoon(t, "anna@example.com", "4")
		begun := time.Now()
		for i := range recipients {
			testbed.DialSMTP(t, at.Addr()).Wants(t, fmt.Sprintf("nobody%d@example.com", i), "4")
		}
		testbed.DialSMTP(t, at.Addr()).Wants(t, "anna@example.com", "4")
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
		for _, e := range at.events.All() {
			switch {
			case !strings.HasSuffix(e.Request.Recipient, "@example.com"): // a sender
			case strings.HasPrefix(e.Request.Helo, "postwhere-"):
				probes++
				if e.Finding.Verdict != policy.Pass {
					t.Errorf("%s answers a probe by %s", at.name, e.Finding.Verdict)
				}
			case e.Finding.Verdict != policy.Defer:
				t.Errorf("%s: %s for %s", at.name, e.Finding.Verdict, e.Request.Recipient)
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
	readme, err := os.ReadFile("../../../README.md")
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
