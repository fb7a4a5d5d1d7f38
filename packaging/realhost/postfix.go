package realhost

import (
	"fmt"
	"maps"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// PostfixConfig says what a [Postfix] does other than by default. The zero
// value is an instance with one SMTP service that has no domain of its own,
// relays for clients on this machine and has nowhere to relay to.
type PostfixConfig struct {
	// Main holds main.cf parameters. They go before the defaults of this
	// package, which are in postfixDefaults, and of Postfix.
	Main map[string]string

	// SMTP holds the SMTP services. None means one, with no options, at an
	// address that is picked.
	SMTP []SMTPService

	// Master holds entries for master.cf, such as
	// "slow unix - - n - 1 smtp -o smtp_helo_name=slow.test". An entry
	// replaces the one of the same name and type, if there is one.
	Master []string

	// Files holds texts of further files, such as look-up tables, by name.
	// They are written next to main.cf, so that parameters can refer to
	// them by "texthash:$config_directory/NAME".
	Files map[string]string

	// Network is what is said before a command to run it on another network, such
	// as "nsenter --net=FILE". The server is there, and its addresses are: they have
	// to be given. None means this machine's.
	Network []string
}

// SMTPService is an smtpd(8) in master.cf.
type SMTPService struct {
	// Addr is host:port. The host has to be a loopback address. Port 0
	// stands for a free one, and "" for a free port of a loopback address
	// that nothing else uses.
	Addr string

	// Options are parameters for this service alone, each "name=value".
	Options []string
}

// postfixDefaults is the main.cf of an instance that has no parameters given.
var postfixDefaults = map[string]string{
	"compatibility_level": "3.6",

	"inet_interfaces": "loopback-only",
	"inet_protocols":  "ipv4",

	// No question and no mail leaves this machine: from 127.0.0.1 the
	// kernel connects to loopback only.
	"smtp_dns_support_level": "disabled",
	"smtp_host_lookup":       "native",
	"smtp_bind_address":      "127.0.0.1",
	"lmtp_bind_address":      "127.0.0.1",
	"default_transport":      "error:5.1.2 no way out of a test",

	// No users of this machine, no mail to its postmaster.
	"mydestination":        "",
	"local_recipient_maps": "",
	"alias_maps":           "",
	"alias_database":       "",
	"notify_classes":       "",
	"biff":                 "no",

	"mynetworks": "127.0.0.0/8",
}

// postfixServices is master.cf but for the SMTP services, as Postfix comes but
// without chroot: the tables and sockets of tests are outside of the queue.
var postfixServices = []string{
	"pickup unix n - n 60 1 pickup",
	"cleanup unix n - n - 0 cleanup",
	"qmgr unix n - n 300 1 qmgr",
	"tlsmgr unix - - n 1000? 1 tlsmgr",
	"rewrite unix - - n - - trivial-rewrite",
	"bounce unix - - n - 0 bounce",
	"defer unix - - n - 0 bounce",
	"trace unix - - n - 0 bounce",
	"verify unix - - n - 1 verify",
	"flush unix n - n 1000? 0 flush",
	"proxymap unix - - n - - proxymap",
	"proxywrite unix - - n - 1 proxymap",
	"smtp unix - - n - - smtp",
	"relay unix - - n - - smtp -o syslog_name=postfix/$service_name",
	"showq unix n - n - - showq",
	"error unix - - n - - error",
	"retry unix - - n - - error",
	"discard unix - - n - - discard",
	"virtual unix - n n - - virtual",
	"lmtp unix - - n - - lmtp",
	"anvil unix - - n - 1 anvil",
	"scache unix - - n - 1 scache",
	"postlog unix-dgram n - n - 1 postlogd",
}

// Postfix starts a Postfix that ends with the test. It returns when each SMTP
// service greets.
//
// The client of the tests connects from 127.0.0.1 and is in mynetworks by
// default, which is "127.0.0.0/8". The host name is different for each instance
// (two of the same name would take mail from each other for a mail loop).
func Postfix(t testing.TB, cfg PostfixConfig) *Server {
	t.Helper()
	Need(t, "postfix")
	s := newServer(t)
	s.etc = filepath.Join(s.dir, "etc")
	s.env = []string{"MAIL_CONFIG=" + s.etc}
	queue := filepath.Join(s.dir, "queue")
	s.logFile = filepath.Join(s.dir, "mail.log")
	s.pidFile = filepath.Join(queue, "pid", "master.pid")
	postfix := program(t, "postfix")
	s.startCommand = append(slices.Clone(cfg.Network), postfix, "-c", s.etc, "start")
	if len(cfg.Network) > 0 {
		s.answers = func(addr string) error { return greetingOn(cfg.Network, addr) }
	}
	// "postfix stop" is the same but for looking once a second whether
	// Postfix has ended, for which Server.Stop looks more often.
	s.stopCommand = []string{postfix, "-c", s.etc, "abort"}
	s.prepare = func(t testing.TB) {
		t.Helper()
		write(t, filepath.Join(queue, quickStart), "")
	}

	mkdir(t, s.etc, 0, 0, 0o755)
	for name, text := range cfg.Files {
		s.WriteFile(t, name, text)
	}
	services := cfg.SMTP
	if len(services) == 0 {
		services = []SMTPService{{}}
	}
	master := postfixServices
	for _, smtp := range services {
		addr := pickAddr(t, smtp.Addr)
		s.addrs = append(s.addrs, addr)
		master = replaceServices(master, smtp.entry(addr))
	}
	master = replaceServices(master, cfg.Master...)
	s.WriteFile(t, "master.cf", strings.Join(master, "\n")+"\n")
	s.WriteFile(t, "main.cf", mainCF(postfixDefaults, map[string]string{
		"data_directory":  filepath.Join(s.dir, "data"),
		"queue_directory": queue,
		// There need not be a syslog. Postfix wants to be told that the
		// file may be here, see maillog_file_prefixes in postconf(5).
		"maillog_file":          s.logFile,
		"maillog_file_prefixes": s.dir,
		"myhostname":            filepath.Base(s.dir) + ".test",
	}, cfg.Main))
	makeQueue(t, s.dir)

	s.guard(t)
	s.Start(t)
	return s
}

// quickStart is a file in the queue directory that lets "postfix start" start
// Postfix (postfix-script in its source) and do no more: not make the queue
// directories, not add its installation parameters to main.cf (after which it
// would rest for seconds, see write) and not look at the permissions of
// everything that is installed. It goes with the start.
const quickStart = "quick-start"

// makeQueue makes the directories that Postfix keeps its mail and its state in,
// as postfix-files in its source has them.
func makeQueue(t testing.TB, dir string) {
	t.Helper()
	uid, gid := ids(t, "postfix")
	drop := groupID(t, "postdrop")
	mkdir(t, filepath.Join(dir, "data"), uid, gid, 0o700)
	queue := filepath.Join(dir, "queue")
	mkdir(t, queue, 0, 0, 0o755)
	mkdir(t, filepath.Join(queue, "pid"), 0, 0, 0o755)
	mkdir(t, filepath.Join(queue, "maildrop"), uid, drop, 0o730)
	mkdir(t, filepath.Join(queue, "public"), uid, drop, 0o710)
	for _, name := range []string{
		"active", "bounce", "corrupt", "defer", "deferred", "flush",
		"hold", "incoming", "private", "saved", "trace",
	} {
		mkdir(t, filepath.Join(queue, name), uid, 0, 0o700)
	}
}

// mainCF writes the parameters of all sets, of which the last goes first.
func mainCF(sets ...map[string]string) string {
	all := make(map[string]string)
	for _, set := range sets {
		maps.Copy(all, set)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		// A line that begins with a blank continues the one before.
		fmt.Fprintf(&text, "%s = %s\n", name, strings.ReplaceAll(all[name], "\n", "\n    "))
	}
	return text.String()
}

func (s SMTPService) entry(addr string) string {
	entry := addr + " inet n - n - - smtpd"
	for _, option := range s.Options {
		// Braces let the value have blanks, see master(5).
		entry += "\n    -o { " + option + " }"
	}
	return entry
}

// replaceServices appends the entries to those of a master.cf, less the ones
// that have the name and type of a new one: Postfix would take the last one but
// warn.
func replaceServices(master []string, entries ...string) []string {
	master = slices.Clone(master)
	for _, entry := range entries {
		master = slices.DeleteFunc(master, func(old string) bool {
			return serviceKey(old) == serviceKey(entry)
		})
		master = append(master, entry)
	}
	return master
}

func serviceKey(entry string) string {
	fields := strings.Fields(entry)
	return strings.Join(fields[:min(2, len(fields))], " ")
}

// ids returns the numbers of a user and of its group.
func ids(t testing.TB, name string) (uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		t.Fatal(err)
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		t.Fatal(err)
	}
	return uid, gid
}

func groupID(t testing.TB, name string) int {
	t.Helper()
	g, err := user.LookupGroup(name)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return gid
}
