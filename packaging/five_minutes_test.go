package packaging

import (
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"

	"postwhere/packaging/machine"
	"postwhere/packaging/realhost"
)

// readmeBlock is a block of commands of README's five minutes: how it is to be run, as
// is said behind five-minutes in the line that opens it, and the commands.
type readmeBlock struct{ kind, text string }

var readmeBlocks = regexp.MustCompile("(?s)\n *```sh five-minutes ?([a-z]*)\n(.*?)\n *```\n")

func fiveMinutes(t *testing.T) []readmeBlock {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []readmeBlock
	for _, m := range readmeBlocks.FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, readmeBlock{m[1], m[2]})
	}
	return blocks
}

// Whoever follows README, on a machine with Debian's Postfix and with the package at
// hand, has mail delivered to the right host five minutes later, and a machine without
// postwhere when he has had enough of it.
func TestFiveMinutesOfREADME(t *testing.T) {
	for name, first := range map[string]machine.First{"systemd": machine.Systemd, "no systemd": machine.Nothing} {
		t.Run(name, func(t *testing.T) {
			s := newFront(t, first)
			files, traces := s.postfixsFiles(t), s.traces(t)
			t.Run("attached", func(t *testing.T) { s.isAttachedInFiveMinutes(t, first) })
			t.Run("gone", func(t *testing.T) { s.isGone(t, files, traces) })
		})
	}
}

func (s *site) isAttachedInFiveMinutes(t *testing.T, first machine.First) {
	mail1 := s.mailHost(t, "127.1.0.1:25", "anna@example.com")
	mail2 := s.mailHost(t, "127.1.0.2:2525", "bert@example.com")
	for _, block := range fiveMinutes(t) {
		s.follow(t, first, block)
	}
	mail1.WaitMessage(t, "anna@example.com", "Subject: Hello\n")
	if m := mail2.Messages(t, "anna@example.com"); len(m) > 0 {
		t.Errorf("mail2 has it, too: %q", m)
	}
	s.replies(t, "bert@example.com", "<-  250 2.1.5 ")
	s.replies(t, "nobody@example.com", "<** 550 5.1.1 ")
	s.stats(t, map[string]string{"/etc/postwhere/postwhere.toml": "root:postwhere 640"})
}

// isGone wants that all can be undone, also after a removal, as that says; and that
// then there is nothing more of postwhere than there was, of what setup keeps when it is
// run again either.
func (s *site) isGone(t *testing.T, files map[string]string, traces []string) {
	if said := s.Run(t, "dpkg", "--remove", "postwhere"); !strings.Contains(said, stillAsks) {
		t.Errorf("that Postfix still asks is not told:\n%s", said)
	}
	s.dpkg(t, newVersion)
	s.Run(t, "postwhere", "postfix", "--undo", "--yes")
	if after := s.postfixsFiles(t); !maps.Equal(after, files) {
		t.Errorf("Postfix's configuration is not as it was: %v, was %v", after, files)
	}
	_ = s.Try("postwhere", "setup", "--force", "--domain", "example.org", "--host", "127.1.0.3") // which says what is wrong with that
	s.stats(t, map[string]string{"/etc/postwhere/postwhere.toml": "root:postwhere 640", "/etc/postwhere/postwhere.toml.20*": "root:postwhere 640"})

	if said := s.Run(t, "dpkg", "--remove", "postwhere"); strings.Contains(said, "Postfix still asks") {
		t.Errorf("it is said that Postfix still asks:\n%s", said)
	}
	s.Run(t, "dpkg", "--purge", "postwhere")
	s.leavesNothing(t, traces)
	s.Run(t, "postfix", "check")
}

// newFront is a machine of the name front.example.org with Debian's Postfix, as its
// installation leaves it to who says that it is an Internet site, and the package in
// the folder dist of root's home, beside that of another architecture.
func newFront(t *testing.T, first machine.First) *site {
	t.Helper()
	realhost.Need(t, "postfix", "bash", "script", "swaks", "dpkg-reconfigure", "debconf-set-selections")
	s := &site{Machine: machine.New(t, first)}
	s.Write(t, "/etc/hosts", "127.0.0.1 localhost front.example.org\n127.1.0.1 mail1.example.net\n127.1.0.2 mail2.example.net\n")
	s.Shell(t, `set -e
rm -f /etc/postfix/main.cf /etc/postfix/master.cf
hostname front.example.org
printf 'postfix postfix/%s\n' 'main_mailer_type select Internet Site' 'mailname string front.example.org' | debconf-set-selections
dpkg-reconfigure postfix
# There is no DNS here to ask for MX records.
postconf -e 'smtp_dns_support_level = disabled' 'maillog_file = /var/log/mail.log'
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl restart postfix
else
	/etc/init.d/postfix restart
fi`)
	s.Write(t, "/root/dist/postwhere_"+newVersion+"_other.deb", "")
	s.Copy(t, built(t, newVersion, "deb"), "/root/dist/"+packageName(newVersion, "deb"))
	return s
}

// mailHost starts a mail host on the machine's network.
func (s *site) mailHost(t *testing.T, addr, mailbox string) *realhost.Host {
	t.Helper()
	return realhost.PostfixConfig{Network: s.Network(), SMTP: []realhost.SMTPService{{Addr: addr}}}.MailHost(t, "example.com", mailbox)
}

// follow does what a block says.
func (s *site) follow(t *testing.T, first machine.First, b readmeBlock) {
	t.Helper()
	switch {
	case b.kind == "systemd" && first == machine.Systemd, b.kind == "install", b.kind == "":
		s.content(t, "sh", "-exc", "cd\n"+b.text)
	case b.kind == "terminal":
		// script(1) has a terminal for it, at which somebody says yes.
		s.content(t, "sh", "-c", `echo y | script -qec "$1" /dev/null`, "sh", b.text)
	case b.kind == "foreground" && first == machine.Nothing:
		s.Start(t, "sh", "-exc", "exec >/run/foreground.log 2>&1\n"+b.text)
		if !realhost.Eventually(func() bool {
			said, _ := os.ReadFile(s.Path("/run/foreground.log"))
			return strings.Contains(string(said), "msg=started")
		}) {
			t.Fatalf("the daemon does not start:\n%s", s.Shell(t, "cat /run/foreground.log"))
		}
	case b.kind == "systemd", b.kind == "foreground": // for the other machine
	default:
		t.Errorf("README has a block of commands of an unknown kind: %q", b.kind)
	}
}

// content runs a command, and wants that it finds nothing to complain of.
func (s *site) content(t *testing.T, name string, args ...string) {
	t.Helper()
	said := s.Run(t, name, args...)
	t.Logf("%s %s\n%s", name, strings.Join(args, " "), said)
	if strings.Contains(said, "FAIL ") || strings.Contains(said, "note ") {
		t.Errorf("not all is well")
	}
}

// replies wants of the machine's Postfix a reply to RCPT, as swaks shows it.
func (s *site) replies(t *testing.T, rcpt, want string) {
	t.Helper()
	said := s.Shell(t, "swaks --server 127.0.0.1 --helo client.test --from sender@elsewhere.example --to "+rcpt+" --quit-after RCPT || true")
	if !strings.Contains(said, want) {
		t.Errorf("%s: want %q:\n%s", rcpt, want, said)
	}
}

// postfixsFiles returns all of Postfix's configuration, by name.
func (s *site) postfixsFiles(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for name := range strings.FieldsSeq(s.Shell(t, "find /etc/postfix -type f")) {
		text, err := os.ReadFile(s.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	return files
}
