package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// program is `postwhere serve` as a process that can be killed.
type program struct {
	file string // its configuration
	cmd  *exec.Cmd
	log  *testbed.Recorder
}

// startProgram runs the daemon by a configuration until it is killed, or the test
// ends. It has a control socket of its own.
func startProgram(t *testing.T, dir, text string) *program {
	t.Helper()
	p := &program{file: filepath.Join(dir, "postwhere.toml"), log: &testbed.Recorder{}}
	text = "[listen]\npolicy = []\nmilter = []\nsocketmap = []\ncontrol = [\"unix:" + dir + "/control\"]\n" + text
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command("postwhere", "serve", "-c", p.file)
	p.cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10")
	stderr, err := p.cmd.StderrPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	up, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for in := bufio.NewScanner(stderr); in.Scan(); {
			_, _ = p.log.Write(append(in.Bytes(), '\n'))
			if strings.Contains(in.Text(), "msg=started") {
				close(up)
			}
		}
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-ended
		_ = p.cmd.Wait()
	})
	select {
	case <-up:
	case <-ended:
		t.Fatal("the daemon did not start:\n" + p.log.Text())
	}
	return p
}

// kill ends it as by SIGKILL.
func (p *program) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
}

// look asks it about an address.
func (p *program) look(t *testing.T, address string) control.Result {
	t.Helper()
	out, err := exec.Command("postwhere", "-c", p.file, "query", "--json", address).Output()
	var r control.Result
	if json.Unmarshal(out, &r) != nil {
		t.Fatalf("%s: %v: %s", address, err, out)
	}
	return r
}

func (p *program) wants(t *testing.T, address string, verdict policy.Verdict, host, source string) {
	t.Helper()
	if r := p.look(t, address); r.Verdict != verdict.String() || r.Host != host || r.Source != source {
		t.Errorf("%s: %+v, want %s to %q from %s", address, r, verdict, host, source)
	}
}

// The daemon is killed and started again while a host is down: mail for its
// mailboxes is accepted, and nothing that exists is refused.
func TestPostfixOwnersAreKnownAfterAKill(t *testing.T) {
	t.Parallel()
	realhost.Need(t, "postfix")
	mail1 := realhost.MailHost(t, "example.com", "anna@example.com")
	mail2 := realhost.MailHost(t, "example.com", "bert@example.com")
	dir := testbed.ShortDir(t)
	text := fmt.Sprintf("[cache]\nfile = \"memory\"\nunsure_expire = \"100ms\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\"]\n"+
		"[host.mail1]\nprobe = %q\n[host.mail2]\nprobe = %q\n", mail1.Addr(), mail2.Addr())
	p := startProgram(t, dir, text)
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	p.wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceSearch)
	testbed.WaitKept(t, dir+"/memory", "anna", "bert")
	p.kill(t)
	mail1.Stop(t)

	p = startProgram(t, dir, text)
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	p.wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceMemory)
	p.wants(t, "carla@example.com", policy.Defer, "", policy.SourceSearch)
	if !p.log.Logged("memory is as it was") {
		t.Error("the log does not say so")
	}
	mail1.Start(t)
	if !realhost.Eventually(func() bool { return p.look(t, "carla@example.com").Verdict == policy.Reject.String() }) {
		t.Error("carla is not refused though both hosts are up")
	}
}

// countingHost is a host that counts the nonsense that it is asked about.
func countingHost(t *testing.T, rcpt func(string) error) (*testbed.Host, *atomic.Int32) {
	t.Helper()
	nonsense := new(atomic.Int32)
	return testbed.StartHost(t, func(to string) error {
		if testbed.IsNonsense(to) {
			nonsense.Add(1)
		}
		return rcpt(to)
	}), nonsense
}

func TestHostIsNotCalibratedAgainAfterAKill(t *testing.T) {
	t.Parallel()
	mail1, nonsense := countingHost(t, testbed.Having("anna@example.com"))
	dir := testbed.ShortDir(t)
	text := "[cache]\nfile = \"memory\"\n" + "[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = \"" + mail1.Address + "\"\n"
	p := startProgram(t, dir, text)
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	testbed.WaitKept(t, dir+"/memory", "anna", "Greeting")
	p.kill(t)
	if n := nonsense.Load(); n != 1 {
		t.Errorf("calibrated %d times", n)
	}

	p = startProgram(t, dir, text)
	p.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	p.kill(t)
	if n := nonsense.Load(); n != 1 {
		t.Errorf("calibrated %d times after a kill", n)
	}

	// Asked in another way it is another host, also to those who were its owners.
	p = startProgram(t, dir, text+"method = \"rcpt\"\n")
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	if !realhost.Eventually(func() bool { return len(mail1.Asked()) >= 3 }) {
		t.Errorf("anna is not asked about again: %v", mail1.Asked())
	}
	p.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	p.kill(t)
	if n := nonsense.Load(); n != 2 {
		t.Errorf("calibrated %d times when it was configured otherwise", n)
	}
}
