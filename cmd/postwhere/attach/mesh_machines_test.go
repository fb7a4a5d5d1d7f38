package attach

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
	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// machine is front end and mailbox host at once: a real Postfix with a front door
// and an inner door, and a daemon.
type machine struct {
	*realhost.Host
	name   string
	ip     string
	daemon *daemon.Daemon
	events *testbed.Recorder
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
		at.attach(t, configs[i], ByMesh)
	}
	for _, at := range m {
		at.inside(t, at.ip).Cmd(t, "QUIT", "221")
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
milter    = []
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
func (at *machine) attach(t *testing.T, text string, way Way) {
	t.Helper()
	cfg, err := config.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := Commands(t.Context(), at.Dir()+"/etc", cfg, way)
	if err != nil {
		t.Fatal(err)
	}
	at.Run(t, "sh", "-ec", quick+lines)
}

// inside opens a session at the inner door from an address. It waits for a door
// that is just being opened.
func (at *machine) inside(t *testing.T, from string) *testbed.Client {
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
		c := &testbed.Client{Conn: conn}
		if _, _, err := conn.ReadResponse(220); err != nil {
			t.Fatal(err)
		}
		c.Cmd(t, "EHLO peer.test", "250")
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
	testbed.DialSMTP(t, at.Addr()).Send(t, subject, rcpts...)
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
