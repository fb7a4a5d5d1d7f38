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

// eximUser is the user that Debian's Exim runs as. Its name is compiled in.
const eximUser = "Debian-exim"

// EximConfig says what a host that runs Exim has, and what it does other than
// by default. The zero value has no domain and relays for nobody.
type EximConfig struct {
	// Addr is where it listens, as in [SMTPService].
	Addr string

	// Domains are the host's, with blanks between if there are several.
	Domains string

	// Mailboxes are the addresses that have a mailbox.
	Mailboxes []string

	// Aliases holds the addresses that stand for another one.
	Aliases map[string]string

	// CatchAll is the mailbox for all the addresses of the domains that
	// nobody has. "" means that they are refused.
	CatchAll string

	// Suffix is the end that a local part may have beyond the mailbox's, as
	// local_part_suffix has it, such as "+*". "" means none.
	Suffix string

	// Main holds main options. They go before the defaults of this package,
	// which are in eximDefaults, and of Exim. It is
	//	"acl_smtp_vrfy": "accept"
	// that lets VRFY tell who has a mailbox; by default the answer is 252
	// for everybody.
	Main map[string]string

	// RCPT holds statements of the ACL for RCPT that go before those of this
	// package, which accept who has a mailbox: "accept" for everybody, or
	// [EximTooManyBad].
	RCPT string
}

// EximTooManyBad is for [EximConfig.RCPT] the statement that Debian's own
// configuration has: after ten recipients of which less than half were there it
// refuses those who are, too.
const EximTooManyBad = `deny condition = ${if and {{>{$rcpt_count}{10}} {<{$recipients_count}{${eval:$rcpt_count/2}}}}}
     message = Rejected for too many bad recipients`

// eximDefaults are main options, as Debian has them where that tells from
// outside. No option asks the DNS, and no router leads out.
var eximDefaults = map[string]string{
	"acl_smtp_rcpt":       "rcpt",
	"disable_ipv6":        "true",
	"tls_advertise_hosts": "",

	// What it writes itself has nowhere to go.
	"acl_not_smtp": "accept control = queue",

	// Without, it makes a certificate when it starts, for nobody: a value
	// with a "$" it looks at when it needs one.
	"tls_certificate":         "$primary_hostname",
	"tls_verify_certificates": "",

	// The program is not set-UID: the process that took a message delivers
	// it, as the user it is.
	"deliver_drop_privilege": "true",
	"keep_environment":       libraryPath,
	"add_environment":        "",
}

// eximAddress is the recipient as it is in the tables: in lower case, without
// the suffix, and quoted if it has to be.
const eximAddress = "${quote_local_part:$local_part}@$domain"

// eximAliases is the name of the file that says which address stands for which.
const eximAliases = "aliases"

// Exim starts an Exim with mailboxes that ends with the test. It returns when it
// greets. Mail to a mailbox is delivered at once.
func Exim(t testing.TB, cfg EximConfig) *Host {
	t.Helper()
	exim := needUnpacked(t, "exim4-daemon-light", eximUser)
	uid, gid := ids(t, eximUser)
	h := newHost(cfg.Mailboxes)
	s := newServer(t)
	h.Server = s
	s.addrs = []string{pickAddr(t, cfg.Addr)}
	s.etc = filepath.Join(s.dir, "etc")
	mkdir(t, s.etc, 0, 0, 0o755)
	for _, name := range []string{"spool", "log", "mail"} {
		mkdir(t, filepath.Join(s.dir, name), uid, gid, 0o700)
	}
	s.logFile = filepath.Join(s.dir, "log", "mainlog")
	program := exim.file("usr/sbin/exim4")
	s.inForeground(exim.command(program, "-C", filepath.Join(s.etc, "exim.conf"), "-bdf"))
	s.prepare = func(t testing.TB) {
		t.Helper()
		ownLog(t, s.logFile, uid, gid)
	}
	h.tell = func(t testing.TB, mailboxes []string) {
		t.Helper()
		boxes := make(map[string]string)
		for _, address := range mailboxes {
			boxes[address] = maildir(address)
		}
		s.WriteFile(t, mailboxTable, lsearch(boxes))
	}

	h.tell(t, h.mailboxes())
	s.WriteFile(t, eximAliases, lsearch(cfg.Aliases))
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	options := eximOptions(eximDefaults, map[string]string{
		"primary_hostname":  filepath.Base(s.dir) + ".test",
		"local_interfaces":  host,
		"daemon_smtp_ports": port,
		"spool_directory":   filepath.Join(s.dir, "spool"),
		"log_file_path":     filepath.Join(s.dir, "log", "%slog"),
		"pid_file_path":     filepath.Join(s.dir, "spool", "pid"),
		"exim_path":         program, // by which it calls itself for a bounce
	}, cfg.Main)
	s.WriteFile(t, "exim.conf", options+cfg.rest(s.dir))
	s.guard(t)
	s.Start(t)
	return h
}

// ownLog makes the log if it is not there, so that its owner may write it: the
// shell that starts the server is root's.
func ownLog(t testing.TB, path string, uid, gid int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Chown(uid, gid); err != nil {
		t.Fatal(err)
	}
}

// eximOptions writes the main options of all sets, of which the last goes first.
func eximOptions(sets ...map[string]string) string {
	all := make(map[string]string)
	for _, set := range sets {
		maps.Copy(all, set)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, strings.ReplaceAll(all[name], "\n", " \\\n"))
	}
	return text.String()
}

// rest returns what follows the main options in the configuration of an Exim in
// the directory.
func (cfg EximConfig) rest(dir string) string {
	find := func(table string) string {
		return fmt.Sprintf("${lookup{%s}lsearch{%s}{$value}fail}", eximAddress, filepath.Join(dir, "etc", table))
	}
	var text strings.Builder
	part := func(lines ...string) { text.WriteString(strings.Join(lines, "\n") + "\n\n") }
	part("domainlist local_domains = " + strings.Join(strings.Fields(cfg.Domains), " : "))

	part("begin acl")
	part("rcpt:",
		cfg.RCPT,
		"require message = relay not permitted",
		"        domains = +local_domains",
		"require verify = recipient",
		"accept")

	// A router whose look-up fails leaves the address to the next.
	part("begin routers")
	part("aliases:",
		"driver = redirect",
		"data = "+find(eximAliases))
	part("mailboxes:",
		"driver = accept",
		"local_part_suffix = "+cfg.Suffix,
		"local_part_suffix_optional",
		"address_data = "+find(mailboxTable),
		"transport = maildir")
	if cfg.CatchAll != "" {
		part("catch_all:",
			"driver = redirect",
			"domains = +local_domains",
			"data = "+cfg.CatchAll)
	}

	part("begin transports")
	part("maildir:",
		"driver = appendfile",
		"directory = "+filepath.Join(dir, "mail", "$address_data"),
		"maildir_format")
	return text.String()
}

// lsearch returns a table in which Exim finds values by address.
func lsearch(values map[string]string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	var text strings.Builder
	for _, address := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&text, "\"%s\": %s\n", escape.Replace(strings.ToLower(address)), values[address])
	}
	return text.String()
}
