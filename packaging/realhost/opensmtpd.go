package realhost

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// OpenSMTPDConfig says what a host that runs OpenSMTPD has. The zero value has
// no domain and relays for nobody.
type OpenSMTPDConfig struct {
	// Addr is where it listens, as in [SMTPService].
	Addr string

	// Virtual are the domains, with blanks between if there are several,
	// whose mailboxes are in a virtual table. Who is not in it is refused by
	// 524 5.2.4 Mailing list expansion problem.
	Virtual string

	// Local is the domain whose mailboxes are its users'. Who is no user is
	// refused by 550 Invalid recipient, as is any domain that is not here.
	Local string

	// Mailboxes are the addresses that have a mailbox. OpenSMTPD takes none
	// that needs quotes.
	Mailboxes []string

	// Aliases holds the addresses that stand for another one.
	Aliases map[string]string

	// Conf is text that smtpd.conf(5) begins with.
	Conf string
}

// The tables in smtpd.conf, which are files of the same names. A table of users
// says where each lives, see userbase in smtpd.conf(5).
const (
	virtualTable = "addresses"     // users, or other addresses, by address
	virtualUsers = "virtual_users" // who have no name but in virtualTable
	localAliases = "aliases"       // addresses by the name in the Local domain
	localUsers   = "users"
)

// opensmtpdEtc are the files in /etc by which OpenSMTPD finds its own name and
// its clients', and asks no DNS: by the C library at first, then by a resolver
// that it brings along.
var opensmtpdEtc = map[string]string{
	"hosts":         "127.0.0.1 localhost\n",
	"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
	"resolv.conf":   "lookup file\n",
}

// opensmtpd is the server behind a [Host].
type opensmtpd struct {
	*Server
	cfg      OpenSMTPDConfig
	uid, gid int               // of mailOwner
	control  []string          // smtpctl(8)
	told     map[string]string // the text of each table
}

// OpenSMTPD starts an OpenSMTPD with mailboxes that ends with the test. It
// returns when it greets. Mail to a mailbox is delivered at once.
//
// All its places are compiled in: it runs where it sees the instance's instead
// of the system's.
func OpenSMTPD(t testing.TB, cfg OpenSMTPDConfig) *Host {
	t.Helper()
	debian := needUnpacked(t, "opensmtpd")
	needBind(t)
	s := newServer(t)
	s.addrs = []string{pickAddr(t, cfg.Addr)}
	s.etc = filepath.Join(s.dir, "etc")
	s.logFile = filepath.Join(s.dir, "log")
	s.prepare = func(testing.TB) {}
	o := &opensmtpd{Server: s, cfg: cfg, told: make(map[string]string)}
	o.uid, o.gid = ids(t, mailOwner)
	for _, name := range []string{"etc", "spool", "run", "lib", "lib/opensmtpd", "lib/opensmtpd/empty"} {
		mkdir(t, filepath.Join(s.dir, name), 0, 0, 0o755)
	}
	mkdir(t, filepath.Join(s.dir, "mail"), o.uid, o.gid, 0o700)
	inside := func(argv ...string) []string {
		return bound([]bind{
			{debian.file("usr/libexec"), "/usr/libexec"},
			{filepath.Join(s.dir, "spool"), "/var/spool"},
			{filepath.Join(s.dir, "lib"), "/var/lib"},
			{filepath.Join(s.dir, "run"), "/run"},
			{s.etc, "/etc"},
		}, debian.command(argv...))
	}
	s.inForeground(inside(debian.file("usr/sbin/smtpd"), "-d", "-f", "/etc/smtpd.conf"))
	// smtpctl insists on the group.
	o.control = inside("setpriv", "--regid", fmt.Sprint(o.gid), "--clear-groups", debian.file("usr/sbin/smtpctl"))

	h := newHost(cfg.Mailboxes)
	h.Server, h.tell = s, o.tell
	h.tell(t, h.mailboxes())
	o.writeEtc(t)
	s.guard(t)
	s.Start(t)
	return h
}

func (o *opensmtpd) writeEtc(t testing.TB) {
	t.Helper()
	for name, text := range opensmtpdEtc {
		o.WriteFile(t, name, text)
	}
	// The names of its users are compiled in.
	var users, groups strings.Builder
	for _, name := range []string{"opensmtpd", "opensmtpq"} {
		fmt.Fprintf(&users, "%s:x:%d:%d::/:/bin/false\n", name, o.uid, o.gid)
		fmt.Fprintf(&groups, "%s:x:%d:\n", name, o.gid)
	}
	o.WriteFile(t, "passwd", users.String())
	o.WriteFile(t, "group", groups.String())
	o.WriteFile(t, "smtpd.conf", o.conf(t))
}

// conf returns smtpd.conf.
func (o *opensmtpd) conf(t testing.TB) string {
	t.Helper()
	host, port, err := net.SplitHostPort(o.Addr())
	if err != nil {
		t.Fatal(err)
	}
	text := new(strings.Builder)
	fmt.Fprintln(text, o.cfg.Conf)
	for _, name := range []string{virtualTable, virtualUsers, localAliases, localUsers} {
		fmt.Fprintf(text, "table %s file:/etc/%s\n", name, name)
	}
	fmt.Fprintf(text, "listen on %s port %s hostname %s.test\n", host, port, filepath.Base(o.dir))
	const action = `action %q maildir "%%{user.directory}" %s <%s> userbase <%s>` + "\n"
	fmt.Fprintf(text, action, "by address", "virtual", virtualTable, virtualUsers)
	fmt.Fprintf(text, action, "by name", "alias", localAliases, localUsers)
	for _, domain := range strings.Fields(o.cfg.Virtual) {
		fmt.Fprintf(text, "match from any for domain %q action %q\n", domain, "by address")
	}
	if o.cfg.Local != "" {
		fmt.Fprintf(text, "match from any for domain %q action %q\n", o.cfg.Local, "by name")
	}
	// As Debian has it. One there has to be.
	fmt.Fprintf(text, "match for local action %q\n", "by name")
	return text.String()
}

// tell writes the tables that have changed and, if the server is up, has it read
// them.
func (o *opensmtpd) tell(t testing.TB, mailboxes []string) {
	t.Helper()
	for name, table := range o.tables(mailboxes) {
		var text strings.Builder
		for _, key := range slices.Sorted(maps.Keys(table)) {
			fmt.Fprintf(&text, "%s %s\n", key, table[key])
		}
		if old, ok := o.told[name]; ok && old == text.String() {
			continue
		}
		o.told[name] = text.String()
		o.WriteFile(t, name, text.String())
		if o.up {
			o.update(t, name)
		}
	}
	for _, address := range mailboxes {
		home := o.home(address)
		if _, err := os.Stat(home); os.IsNotExist(err) {
			mkdir(t, home, o.uid, o.gid, 0o700)
		}
	}
}

// tables returns the tables by name.
func (o *opensmtpd) tables(mailboxes []string) map[string]map[string]string {
	tables := map[string]map[string]string{virtualTable: {}, virtualUsers: {}, localAliases: {}, localUsers: {}}
	for _, address := range mailboxes {
		user := fmt.Sprintf("%d:%d:%s", o.uid, o.gid, o.home(address))
		if name, ok := o.localName(address); ok {
			tables[localUsers][name] = user
		} else {
			name := fmt.Sprintf("box%x", address)
			tables[virtualTable][address] = name
			tables[virtualUsers][name] = user
		}
	}
	for alias, address := range o.cfg.Aliases {
		alias = strings.ToLower(alias)
		if name, ok := o.localName(alias); ok {
			tables[localAliases][name] = address
		} else {
			tables[virtualTable][alias] = address
		}
	}
	return tables
}

func (o *opensmtpd) home(address string) string {
	return filepath.Join(o.dir, "mail", maildir(address))
}

// localName returns the name of an address in the Local domain.
func (o *opensmtpd) localName(address string) (name string, ok bool) {
	at := strings.LastIndexByte(address, '@')
	return address[:max(at, 0)], strings.EqualFold(address[at+1:], o.cfg.Local)
}

// update has the server read a table again and waits until it has.
func (o *opensmtpd) update(t testing.TB, table string) {
	t.Helper()
	line := fmt.Sprintf("Table %q successfully updated\n", table)
	before := strings.Count(o.Log(), line)
	command := slices.Concat(o.control, []string{"update", "table", table})
	if out, err := o.command(command...).CombinedOutput(); err != nil {
		t.Fatalf("realhost: smtpctl update table %s: %v\n%s", table, err, out)
	}
	if !poll(func() bool { return strings.Count(o.Log(), line) > before }) {
		t.Fatalf("realhost: OpenSMTPD has not read table %s:\n%s", table, o.Log())
	}
}
