package realhost

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// LMTPSocket is the name in [Server.Dir] of the Unix socket at which
// [DovecotLMTP] listens as well.
const LMTPSocket = "lmtp"

// DovecotConfig says what a host that runs Dovecot has, and what it does other
// than by default. The zero value has no mailbox.
type DovecotConfig struct {
	// Addr is where it listens, as in [SMTPService].
	Addr string

	// Mailboxes are the addresses that have a mailbox. Their domains need
	// not be told to Dovecot.
	Mailboxes []string

	// Full are more of them. Each of these has the one message that it may
	// have, and no other is taken: after DATA, or at RCPT already if Conf
	// has
	//	lmtp_rcpt_check_quota = yes
	Full []string

	// Aliases holds the addresses that stand for another one.
	Aliases map[string]string

	// Conf is text that dovecot.conf ends with. It goes before what is
	// there already.
	Conf string
}

// dovecotConf is dovecot.conf as a format with the directory, the host and the
// port of the address, and a host name.
const dovecotConf = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
hostname = %[4]s.test
protocols = lmtp
ssl = no
service lmtp {
  # One that has served a session would ask an auth process that is no more,
  # see forget.
  service_count = 1
  inet_listener lmtp {
    address = %[2]s
    port = %[3]s
  }
  unix_listener %[1]s/` + LMTPSocket + ` {
    mode = 0666
  }
}
mail_location = maildir:~/
mail_plugins = quota
plugin {
  quota = count:User quota
  quota_vsizes = yes
}
userdb {
  driver = passwd-file
  args = %[1]s/etc/` + mailboxTable + `
}
# The auth process does not start without one.
passdb {
  driver = passwd-file
  args = %[1]s/etc/` + mailboxTable + `
}
# All are allowed, for the sake of local parts in quotes.
auth_username_chars =
`

// dovecot is the server behind a [Host].
type dovecot struct {
	*Server
	cfg      DovecotConfig
	uid, gid int // of mailOwner
}

// DovecotLMTP starts a Dovecot with mailboxes that ends with the test. It returns
// when it greets. It speaks LMTP, at [Server.Addr] and at [LMTPSocket]. Mail to a
// mailbox is delivered before the reply.
//
// VRFY tells nothing. A session that asks while AddMailbox or RemoveMailbox is at
// work may be answered by 451.
func DovecotLMTP(t testing.TB, cfg DovecotConfig) *Host {
	t.Helper()
	Need(t, "dovecot", "/usr/lib/dovecot/lmtp")
	s := newServer(t)
	s.addrs = []string{pickAddr(t, cfg.Addr)}
	s.etc = filepath.Join(s.dir, "etc")
	s.logFile = filepath.Join(s.dir, "log")
	s.prepare = func(testing.TB) {}
	d := &dovecot{Server: s, cfg: cfg}
	d.uid, d.gid = ids(t, mailOwner)
	for _, name := range []string{"etc", "run", "state"} {
		mkdir(t, filepath.Join(s.dir, name), 0, 0, 0o755)
	}
	mkdir(t, filepath.Join(s.dir, "mail"), d.uid, d.gid, 0o700)
	for _, address := range cfg.Full {
		d.fill(t, address)
	}
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(dovecotConf, s.dir, host, port, filepath.Base(s.dir))
	s.WriteFile(t, "dovecot.conf", conf+cfg.Conf+"\n")

	h := newHost(slices.Concat(cfg.Mailboxes, cfg.Full))
	h.Server, h.tell = s, d.tell
	h.tell(t, h.mailboxes())
	s.inForeground([]string{program(t, "dovecot"), "-F", "-c", filepath.Join(s.etc, "dovecot.conf")})
	s.guard(t)
	s.Start(t)
	return h
}

// fill makes a Maildir with one message.
func (d *dovecot) fill(t testing.TB, address string) {
	t.Helper()
	home := d.home(address)
	mkdir(t, home, d.uid, d.gid, 0o700)
	for _, name := range []string{"cur", "new", "tmp"} {
		mkdir(t, filepath.Join(home, name), d.uid, d.gid, 0o700)
	}
	write(t, filepath.Join(home, "new", "1.full"), "Subject: full\n\nThere is room for this one only.\n")
}

func (d *dovecot) home(address string) string {
	return filepath.Join(d.dir, "mail", maildir(address))
}

// tell writes the table of users.
func (d *dovecot) tell(t testing.TB, mailboxes []string) {
	t.Helper()
	text := new(strings.Builder)
	entry := func(address, mailbox, extra string) {
		// See Passwd-file in Dovecot's documentation.
		fmt.Fprintf(text, "%s::%d:%d::%s::%s\n", unquote(strings.ToLower(address)), d.uid, d.gid, d.home(mailbox), extra)
	}
	for _, address := range mailboxes {
		var extra string
		if slices.ContainsFunc(d.cfg.Full, func(full string) bool { return strings.EqualFold(full, address) }) {
			extra = "userdb_quota_rule=*:messages=1"
		}
		entry(address, address, extra)
	}
	for alias, address := range d.cfg.Aliases {
		address = strings.ToLower(address)
		if slices.Contains(mailboxes, address) {
			entry(alias, address, "userdb_user="+unquote(address))
		}
	}
	d.WriteFile(t, mailboxTable, text.String())
	d.forget(t)
}

// forget ends the auth process, which looks once a second at most whether the
// table has changed, and by its size and whole seconds. A new one is started when
// it is needed.
func (d *dovecot) forget(t testing.TB) {
	t.Helper()
	old := make(map[int]bool)
	for _, p := range d.remaining() {
		if p.name == "auth" {
			old[p.pid] = true
			_ = syscall.Kill(p.pid, syscall.SIGTERM) // or has ended since
		}
	}
	gone := poll(func() bool {
		return !slices.ContainsFunc(d.remaining(), func(p process) bool { return old[p.pid] })
	})
	if !gone {
		t.Fatalf("realhost: Dovecot's auth process does not end\n%s", d.Log())
	}
}
