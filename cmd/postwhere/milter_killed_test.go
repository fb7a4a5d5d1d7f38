package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/testbed"
)

// served is a daemon in a process of its own.
type served struct{ cmd *exec.Cmd }

// serveFile starts a daemon and returns when it serves.
func serveFile(t *testing.T, file string) *served {
	t.Helper()
	p := &served{exec.Command("postwhere", "serve", "-c", file)}
	log, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		if strings.Contains(lines.Text(), "msg=started") {
			go func() { _, _ = io.Copy(io.Discard, log) }() // ends with the process
			return p
		}
		t.Log(lines.Text())
	}
	t.Fatal("the daemon does not serve")
	return nil
}

func (p *served) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// While the daemon is away, killed in the middle of sessions, Postfix does what
// default_action says; the next connection finds it again.
func TestPostfixMilterIsKilled(t *testing.T) {
	t.Parallel()
	host := testbed.StartHost(t, testbed.Having("anna@example.com", "bert@example.com"))
	at := fmt.Sprintf("inet:127.%d.%d.%d:10046", 1+rand.IntN(254), rand.IntN(256), 1+rand.IntN(254))
	file := filepath.Join(t.TempDir(), "postwhere.toml")
	text := fmt.Sprintf("[listen]\npolicy = []\nmilter = [%q]\nsocketmap = []\ncontrol = []\n"+
		"[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = %q\n", at, host.Address)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	front := testbed.Swallow(t, "smtpd_milters={"+at+", default_action=tempfail}", "smtpd_milters={"+at+", default_action=accept}")
	tempfail, accept := front.Addrs()[0], front.Addrs()[1]
	p := serveFile(t, file)
	begin := func(addr string) *testbed.Client {
		c := testbed.DialSMTP(t, addr)
		c.Mail(t)
		c.Rcpt(t, "anna@example.com", "250")
		c.Rcpt(t, "nobody@example.com", "550 5.1.1")
		return c
	}
	for range 3 {
		one, two := begin(tempfail), begin(accept)
		p.kill()
		one.Rcpt(t, "bert@example.com", "451 4.7.1")
		one.Rcpt(t, "nobody@example.com", "451 4.7.1")
		two.Rcpt(t, "bert@example.com", "250")
		two.Rcpt(t, "nobody@example.com", "250")
		three := testbed.DialSMTP(t, tempfail) // a session that begins meanwhile
		three.Cmd(t, "MAIL FROM:<s@src.example>", "451 4.7.1")
		p = serveFile(t, file)
		begin(tempfail)
		begin(accept)
	}
}
