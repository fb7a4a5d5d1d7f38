package realhost

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// SendmailConfig says what a host that runs Sendmail has, and what it does other
// than by default. The zero value has no domain.
type SendmailConfig struct {
	// Addr is where it listens, as in [SMTPService].
	Addr string

	// Domains are the host's, with blanks between if there are several. Who
	// has no mailbox there is refused by 550 5.1.1 User unknown.
	Domains string

	// Mailboxes are the addresses that have a mailbox. Each is in the
	// virtusertable with a local name of its own, and by that VRFY calls it.
	Mailboxes []string

	// Aliases holds the addresses that stand for another one. VRFY does not
	// tell for which.
	Aliases map[string]string

	// Virtual holds further entries of the virtusertable, such as
	//	"gone@one.test": "error:nouser 550 No such user here"
	// for an address that is refused by 550 5.0.0.
	Virtual map[string]string

	// Define holds macros for sendmail.mc. They go before the defaults of
	// this package, which are in sendmailDefaults, and of Sendmail. It is
	//	"confPRIVACY_FLAGS": "novrfy"
	// that keeps VRFY from telling who has a mailbox: the answer is 252 for
	// everybody.
	Define map[string]string

	// MC is text for sendmail.mc, after the macros and before the mailers:
	// FEATURE, INPUT_MAIL_FILTER, and at its end LOCAL_CONFIG and
	// LOCAL_RULESETS.
	MC string

	// End is text for the end of sendmail.mc, behind the mailers.
	End string
}

// sendmailDefaults are macros, as Debian has them where that tells from outside.
// But its pause before the greeting and its limits to a client's connections
// would only keep the tests waiting.
var sendmailDefaults = map[string]string{
	"confPRIVACY_FLAGS": "needmailhelo,needexpnhelo,needvrfyhelo,restrictqrun,restrictexpand,nobodyreturn,authwarnings",

	// No question to the DNS, and none to the client.
	"confSERVICE_SWITCH_FILE":   "/etc/mail/service.switch",
	"confDONT_PROBE_INTERFACES": "True",
	"confTO_IDENT":              "0",

	// Everybody may write to the directory above the instance's, not beyond.
	"confDONT_BLAME_SENDMAIL": "TrustStickyBit",

	// What cannot even be returned to its sender goes nowhere.
	"confDOUBLE_BOUNCE_ADDRESS": "",

	// A busy machine is no reason to refuse a connection or to queue a mail.
	"confREFUSE_LA": "100000",
	"confQUEUE_LA":  "100000",
}

// sendmailFeatures are the rest of sendmail.mc that is always there. Nothing
// leaves this machine: from 127.0.0.1 the kernel connects to loopback only.
const sendmailFeatures = "FEATURE(no_default_msa)\n" +
	"FEATURE(nocanonify)\n" +
	"FEATURE(accept_unresolvable_domains)\n" +
	"FEATURE(virtusertable)\n" +
	"CLIENT_OPTIONS(`Family=inet, Addr=127.0.0.1')\n"

// sendmailEtc are files in the /etc that Sendmail sees. It has no users there,
// for each of them would have a mailbox in each domain.
var sendmailEtc = map[string]string{
	"passwd":              "",
	"group":               "",
	"services":            "smtp 25/tcp\n",
	"nsswitch.conf":       "passwd: files\ngroup: files\nhosts: files\n",
	"mail/service.switch": "passwd files\nhosts files\naliases files\n",

	// Delivers into a Maildir. Before the message Sendmail puts a line of its
	// own.
	"mail/deliver": `umask 077
mkdir -p "$1/tmp" "$1/new" || exit
name=$$.$(date +%s)
sed 1d >"$1/tmp/$name" && mv "$1/tmp/$name" "$1/new/$name"
`,
}

// sendmail is the server behind a [Host].
type sendmail struct {
	*Server
	cfg    SendmailConfig
	debian unpacked
	uid    int // of mailOwner
	gid    int
}

// Sendmail starts a Sendmail with mailboxes that ends with the test. It returns
// when it greets. Mail to a mailbox is delivered at once.
//
// It relays for clients on the same machine, as that of the tests is: of an
// address in a domain that the host does not have it says 252 to VRFY and 250 to
// RCPT. From the sixth VRFY of a session on it waits before each reply, 1 s, 2 s,
// 4 s and so on.
func Sendmail(t testing.TB, cfg SendmailConfig) *Host {
	t.Helper()
	m := newSendmail(t, cfg)
	h := newHost(cfg.Mailboxes)
	h.Server, h.tell = m.Server, m.tell
	h.tell(t, h.mailboxes())
	m.guard(t)
	m.Start(t)
	return h
}

// newSendmail makes the directory of a Sendmail with all that it needs but the
// tables. It is not started.
func newSendmail(t testing.TB, cfg SendmailConfig) *sendmail {
	t.Helper()
	debian := needUnpacked(t, "sendmail-bin")
	needBind(t)
	s := newServer(t)
	s.addrs = []string{pickAddr(t, cfg.Addr)}
	s.etc = filepath.Join(s.dir, "etc", "mail")
	s.logFile = filepath.Join(s.dir, "log")
	s.prepare = func(testing.TB) {}
	m := &sendmail{Server: s, cfg: cfg, debian: debian}
	m.uid, m.gid = ids(t, mailOwner)
	mkdir(t, filepath.Join(s.dir, "etc"), 0, 0, 0o755)
	mkdir(t, s.etc, 0, 0, 0o755)
	mkdir(t, filepath.Join(s.dir, "queue"), 0, 0, 0o700)
	mkdir(t, filepath.Join(s.dir, "mail"), m.uid, m.gid, 0o700)
	m.writeEtc(t)
	s.inForeground(m.program("-bD"))
	return m
}

// program returns the command that runs Sendmail itself, with its /etc.
func (m *sendmail) program(args ...string) []string {
	return bound([]bind{{filepath.Join(m.dir, "etc"), "/etc"}}, m.debian.command(
		append([]string{
			m.debian.file("usr/libexec/sendmail/sendmail"),
			// There need not be a syslog. What would go there goes to the
			// file by level 8 of category 89 (sm_syslog in its source).
			"-D", m.logFile, "-d89.8",
		}, args...)...))
}

func (m *sendmail) writeEtc(t testing.TB) {
	t.Helper()
	for name, text := range sendmailEtc {
		write(t, filepath.Join(m.dir, "etc", name), text)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	// A host that does not find a name with a dot for itself waits for a
	// minute.
	write(t, filepath.Join(m.dir, "etc", "hosts"), "127.0.0.1 localhost\n127.0.0.1 "+m.name()+" "+host+"\n")
	m.WriteFile(t, "sendmail.mc", m.mc(t))
	m4 := m.debian.file("usr/bin/m4")
	if _, err := os.Stat(m4); err != nil {
		m4 = program(t, "m4") // was there when Sendmail was unpacked
	}
	cf := m.debian.file("usr/share/sendmail/cf")
	m.WriteFile(t, "sendmail.cf", m.run(t, "",
		m4, "-D_CF_DIR_="+cf+"/", filepath.Join(cf, "m4", "cf.m4"), filepath.Join(m.etc, "sendmail.mc")))
}

func (m *sendmail) name() string { return filepath.Base(m.dir) + ".test" }

// mc returns sendmail.mc.
func (m *sendmail) mc(t testing.TB) string {
	t.Helper()
	host, port, err := net.SplitHostPort(m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	macros := maps.Clone(sendmailDefaults)
	maps.Copy(macros, map[string]string{
		"confDOMAIN_NAME": m.name(),
		"confPID_FILE":    filepath.Join(m.dir, "sendmail.pid"),
		"QUEUE_DIR":       filepath.Join(m.dir, "queue"),
		// Who owns the mailboxes delivers into them.
		"confDEF_USER_ID": fmt.Sprintf("%d:%d", m.uid, m.gid),
	})
	maps.Copy(macros, m.cfg.Define)
	text := new(strings.Builder)
	fmt.Fprintln(text, "OSTYPE(linux)")
	for _, name := range slices.Sorted(maps.Keys(macros)) {
		fmt.Fprintf(text, "define(`%s', `%s')\n", name, macros[name])
	}
	text.WriteString(sendmailFeatures)
	fmt.Fprintf(text, "DAEMON_OPTIONS(`Name=MTA, Family=inet, Addr=%s, Port=%s')\n", host, port)
	fmt.Fprintf(text, "LOCAL_DOMAIN(`%s')\n", m.cfg.Domains)
	fmt.Fprintf(text, "%s\nMAILER(local)\nMAILER(smtp)\n%s", m.cfg.MC, m.cfg.End)
	return text.String()
}

// tell writes the tables. Sendmail finds out that they have changed when a
// session begins.
func (m *sendmail) tell(t testing.TB, mailboxes []string) {
	t.Helper()
	virtual := make(map[string]string)
	// Sendmail waits for an entry by which newaliases(1) says that it is done.
	aliases := map[string]string{"@": "@"}
	maps.Copy(virtual, m.cfg.Virtual)
	for _, address := range mailboxes {
		virtual[address] = accountOf(address)
		box := filepath.Join(m.dir, "mail", maildir(address))
		aliases[accountOf(address)] = `"|/bin/sh /etc/mail/deliver ` + box + `"`
	}
	for alias, address := range m.cfg.Aliases {
		virtual[alias] = accountOf(alias)
		aliases[accountOf(alias)] = address
	}
	// The aliases first, so that at no time an address leads nowhere.
	m.makemap(t, "aliases", aliases)
	m.makemap(t, "virtusertable", virtual)
}

// accountOf returns the local name of an address, of characters that have no
// meaning in an address.
func accountOf(address string) string {
	return strings.NewReplacer("%", "_", "+", "_").Replace(maildir(address))
}

// makemap makes a look-up table of a map from addresses, or parts of such.
func (m *sendmail) makemap(t testing.TB, name string, table map[string]string) {
	t.Helper()
	text := new(strings.Builder)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(text, "%s\t%s\n", unquote(strings.ToLower(key)), table[key])
	}
	m.run(t, text.String(), m.debian.file("usr/libexec/sendmail/makemap"),
		"-C", filepath.Join(m.etc, "sendmail.cf"), "-t", "\t", "hash", filepath.Join(m.etc, name))
}

// unquote takes the quotes off a local part, as Sendmail does before it looks it
// up.
func unquote(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 2 || address[0] != '"' || address[at-1] != '"' {
		return address
	}
	var local strings.Builder
	for i := 1; i < at-1; i++ {
		if address[i] == '\\' {
			i++
		}
		local.WriteByte(address[i])
	}
	return local.String() + address[at:]
}

// run runs one of the package's programs and returns its standard output.
func (m *sendmail) run(t testing.TB, input string, argv ...string) string {
	t.Helper()
	cmd := m.command(m.debian.command(argv...)...)
	cmd.Stdin = strings.NewReader(input)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("realhost: %s: %v\n%s", strings.Join(argv, " "), err, complaints.String())
	}
	return string(out)
}
