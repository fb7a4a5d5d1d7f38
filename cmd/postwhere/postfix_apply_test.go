package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
)

// front is a real Postfix before two mail hosts and a daemon; anna is at mail1, bert at
// mail2.
type front struct {
	*realhost.Server
	file  string // the configuration, with the ports that the daemon has found
	hosts map[string]*realhost.Host
}

func startFront(t *testing.T) *front {
	t.Helper()
	realhost.Need(t, "postfix")
	f := &front{hosts: make(map[string]*realhost.Host), file: filepath.Join(t.TempDir(), "postwhere.toml")}
	text := "[listen]\npolicy = [\"inet:127.0.0.1:0\"]\nmilter = [\"inet:127.0.0.1:0\"]\nsocketmap = [\"inet:127.0.0.1:0\"]\ncontrol = []\n" +
		"[cache]\nunsure_expire = \"100ms\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\"]\n"
	for name, mailbox := range map[string]string{"mail1": "anna@example.com", "mail2": "bert@example.com"} {
		h := realhost.MailHost(t, "example.com", mailbox)
		f.hosts[mailbox] = h
		ip, port, _ := strings.Cut(h.Addr(), ":")
		text += fmt.Sprintf("[host.%s]\nprobe = \"smtp:inet:%s\"\nroute = \"smtp:[%s]:%s\"\n", name, h.Addr(), ip, port)
	}
	d := daemon.New(maillog.New(testbed.Log(t)))
	testbed.Run(t, d, testbed.Parse(t, text))
	for _, face := range []string{"policy", "milter", "socketmap"} {
		text = strings.Replace(text, face+" = [\"inet:127.0.0.1:0\"]", face+" = [\"inet:"+d.AddressOf(face)+"\"]", 1)
	}
	if err := os.WriteFile(f.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	f.Server = realhost.Postfix(t, realhost.PostfixConfig{SMTP: []realhost.SMTPService{{Options: []string{"max_use=1"}}}})
	return f
}

// arrives sends a message to all and sees it arrive on each one's host, and on no other.
func (f *front) arrives(t *testing.T, subject string) {
	t.Helper()
	testbed.DialSMTP(t, f.Addr()).Send(t, subject, "anna@example.com", "bert@example.com")
	for mailbox, h := range f.hosts {
		h.WaitMessage(t, mailbox, subject)
		for other := range f.hosts {
			if other != mailbox && len(h.Messages(t, other)) > 0 {
				t.Errorf("a message for %s is with %s", other, mailbox)
			}
		}
	}
}

// postwhere runs the program for the front's Postfix, and wants it to end well and to
// say something.
func (f *front) postwhere(t *testing.T, want string, args ...string) {
	t.Helper()
	f.WriteFile(t, "main.cf", f.main(t))     // of a minute ago,
	f.WriteFile(t, "master.cf", f.master(t)) // or postconf waits
	cmd := exec.Command("postwhere", args...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10", "MAIL_CONFIG="+f.Dir()+"/etc")
	out, err := cmd.CombinedOutput()
	if err != nil || !regexp.MustCompile(want).Match(out) {
		t.Fatalf("%q: %v, got\n%s\nwant %q", args, err, out, want)
	}
}

func (f *front) main(t *testing.T) string   { return f.read(t, "main.cf") }
func (f *front) master(t *testing.T) string { return f.read(t, "master.cf") }

func (f *front) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(f.Dir(), "etc", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A Postfix that runs is attached in each way after the other, takes mail by it, and
// is in the end as it was.
func TestPostfixIsAttachedOnRequest(t *testing.T) {
	t.Parallel()
	f := startFront(t)
	file := f.file
	main, master := f.main(t), f.master(t)
	for _, way := range []string{"--policy", "--milter", "--recipient-map", "--map-only"} {
		f.postwhere(t, `(?m)^Done, and Postfix was reloaded\.`, "-c", file, "postfix", "--apply", "--yes", way)
		f.arrives(t, "by "+way)
		testbed.DialSMTP(t, f.Addr()).Wants(t, "nobody@example.com", "550 5.1.1")
		f.postwhere(t, `^There is nothing to change: `, "-c", file, "postfix", "--apply", "--yes", way)
		f.postwhere(t, `(?m)^ok    postfix: transport_maps asks postwhere$`, "-c", file, "check")
	}
	f.postwhere(t, `(?m)^Done, and Postfix was reloaded\.$`, "-c", file, "postfix", "--undo", "--yes")
	if f.main(t) != main || f.master(t) != master {
		t.Errorf("not as it was:\n%s\n%s", f.main(t), f.master(t))
	}
	if _, err := os.Stat(filepath.Join(f.Dir(), "etc", "postwhere.undo")); !os.IsNotExist(err) {
		t.Errorf("a record is left: %v", err)
	}
	testbed.DialSMTP(t, f.Addr()).Wants(t, "anna@example.com", "5") // no relaying
	for line := range strings.Lines(f.Log()) {
		if strings.Contains(line, "warning:") || strings.Contains(line, "fatal:") {
			t.Error(line)
		}
	}
}
