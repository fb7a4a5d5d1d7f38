package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postwhere/packaging/realhost"
)

// readmeBlock is a block of commands of README's five minutes: how it is to be run, as
// is said behind five-minutes in the line that opens it, and the commands.
type readmeBlock struct{ kind, text string }

var readmeBlocks = regexp.MustCompile("(?s)\n *```sh five-minutes ?([a-z]*)\n(.*?)\n *```\n")

func fiveMinutes(t *testing.T) []readmeBlock {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []readmeBlock
	for _, m := range readmeBlocks.FindAllStringSubmatch(string(text), -1) {
		blocks = append(blocks, readmeBlock{m[1], m[2]})
	}
	return blocks
}

// frontMain is the main.cf of a Postfix that was just installed, but for what a test
// without a network wants.
const frontMain = `
compatibility_level = 3.6
myhostname = front.example.org
mydestination = $myhostname, localhost
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
alias_maps =
maillog_file = /var/log/mail.log
`

// Whoever follows README has mail delivered to the right host, five minutes later.
func TestFiveMinutesOfREADME(t *testing.T) {
	t.Parallel()
	if !realhost.OwnMachine(t, "127.1.0.1 mail1.example.net\n127.1.0.2 mail2.example.net\n127.0.0.1 front.example.org") {
		return
	}
	realhost.Need(t, "postfix", "script")
	mail1 := hostAt(t, "127.1.0.1:25", "anna@example.com")
	hostAt(t, "127.1.0.2:2525", "bert@example.com")
	startFront(t)

	for _, b := range fiveMinutes(t) {
		switch b.kind {
		case "install": // this very program is in PATH
		case "systemd": // there is none
		case "foreground":
			startInForeground(t, b.text)
		case "terminal":
			// script(1) has a terminal for it, at which somebody says yes.
			cmd := exec.Command("script", "-qec", b.text, "/dev/null")
			cmd.Stdin = strings.NewReader("y\n")
			wantDone(t, cmd)
		case "":
			wantDone(t, exec.Command("sh", "-exc", b.text))
		default:
			t.Errorf("README has a block of commands of an unknown kind: %q", b.kind)
		}
	}
	mail1.WaitMessage(t, "anna@example.com", "Subject: Hello\n")

	c := dialSMTP(t, "127.0.0.1:25")
	c.mail(t)
	c.rcpt(t, "bert@example.com", "250")
	c.rcpt(t, "nobody@example.com", "550 5.1.1")
	c.cmd(t, "QUIT", "221")

	before := filesOfFront(t)
	wantDone(t, exec.Command("postwhere", "postfix", "--undo", "--yes"))
	if after := filesOfFront(t); after == before || !strings.Contains(after, frontMain) {
		t.Errorf("not taken back:\n%s", after)
	}
}

func hostAt(t *testing.T, addr, mailbox string) *realhost.Host {
	t.Helper()
	return realhost.PostfixConfig{SMTP: []realhost.SMTPService{{Addr: addr}}}.MailHost(t, "example.com", mailbox)
}

// startFront starts the machine's own Postfix.
func startFront(t *testing.T) {
	t.Helper()
	master, err := os.ReadFile("/usr/share/postfix/master.cf.dist")
	if err != nil {
		t.Skipf("Postfix is laid out in another way here: %v", err)
	}
	for name, text := range map[string]string{"main.cf": frontMain, "master.cf": string(master)} {
		if err := os.WriteFile("/etc/postfix/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// Its daemons find names from within their chroot.
	wantDone(t, exec.Command("sh", "-ec", `
umask 022
mkdir -p /var/spool/postfix/etc
for file in hosts nsswitch.conf services resolv.conf host.conf localtime; do
	[ ! -e /etc/$file ] || cp -L /etc/$file /var/spool/postfix/etc/
done
postfix start`))
}

func startInForeground(t *testing.T, text string) {
	t.Helper()
	cmd := exec.Command("sh", "-exc", text)
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		text, _ := os.ReadFile(log.Name())
		return string(text)
	}
	t.Cleanup(func() { t.Logf("the daemon:\n%s", said()) })
	if !realhost.Eventually(func() bool { return strings.Contains(said(), "msg=started") }) {
		t.Fatalf("the daemon does not start")
	}
}

func wantDone(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10")
	out, err := cmd.CombinedOutput()
	t.Logf("%s\n%s", strings.Join(cmd.Args, " "), out)
	if err != nil || strings.Contains(string(out), "FAIL ") || strings.Contains(string(out), "note ") {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
}

func filesOfFront(t *testing.T) string {
	t.Helper()
	main, err := os.ReadFile("/etc/postfix/main.cf")
	if err != nil {
		t.Fatal(err)
	}
	master, err := os.ReadFile("/etc/postfix/master.cf")
	if err != nil {
		t.Fatal(err)
	}
	return string(main) + string(master)
}
