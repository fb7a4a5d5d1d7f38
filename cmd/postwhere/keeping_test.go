package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// program is `postwhere serve` as a process that can be killed.
type program struct {
	file string // its configuration
	cmd  *exec.Cmd
	log  *recorder
}

// startProgram runs the daemon by a configuration until it is killed, or the test
// ends. It has a control socket of its own.
func startProgram(t *testing.T, dir, text string) *program {
	t.Helper()
	p := &program{file: filepath.Join(dir, "postwhere.toml"), log: &recorder{}}
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
		t.Fatal("the daemon did not start:\n" + p.log.log.String())
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
func (p *program) look(t *testing.T, address string) result {
	t.Helper()
	out, err := exec.Command("postwhere", "-c", p.file, "query", "--json", address).Output()
	var r result
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

// waitKept waits until the file has all of some texts.
func waitKept(t *testing.T, file string, texts ...string) {
	t.Helper()
	if !realhost.Eventually(func() bool {
		kept, _ := os.ReadFile(file)
		for _, text := range texts {
			if !bytes.Contains(kept, []byte(text)) {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("%s has not %q", file, texts)
	}
}

// The daemon is killed and started again while a host is down: mail for its
// mailboxes is accepted, and nothing that exists is refused.
func TestPostfixOwnersAreKnownAfterAKill(t *testing.T) {
	t.Parallel()
	realhost.Need(t, "postfix")
	mail1 := realhost.MailHost(t, "example.com", "anna@example.com")
	mail2 := realhost.MailHost(t, "example.com", "bert@example.com")
	dir := shortDir(t)
	text := fmt.Sprintf("[cache]\nfile = \"memory\"\nunsure_expire = \"100ms\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\", \"mail2\"]\n"+
		"[host.mail1]\nprobe = %q\n[host.mail2]\nprobe = %q\n", mail1.Addr(), mail2.Addr())
	p := startProgram(t, dir, text)
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	p.wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceSearch)
	waitKept(t, dir+"/memory", "anna", "bert")
	p.kill(t)
	mail1.Stop(t)

	p = startProgram(t, dir, text)
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	p.wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceMemory)
	p.wants(t, "carla@example.com", policy.Defer, "", policy.SourceSearch)
	if !p.log.logged("memory is as it was") {
		t.Error("the log does not say so")
	}
	mail1.Start(t)
	if !realhost.Eventually(func() bool { return p.look(t, "carla@example.com").Verdict == policy.Reject.String() }) {
		t.Error("carla is not refused though both hosts are up")
	}
}

// shortDir returns a folder for sockets, whose paths have to be short.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postwhere")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// countingHost is a host that counts the nonsense that it is asked about.
func countingHost(t *testing.T, rcpt func(string) error) (*oddHost, *atomic.Int32) {
	t.Helper()
	nonsense := new(atomic.Int32)
	return startOddHost(t, func(to string) error {
		if isNonsense(to) {
			nonsense.Add(1)
		}
		return rcpt(to)
	}), nonsense
}

func TestHostIsNotCalibratedAgainAfterAKill(t *testing.T) {
	t.Parallel()
	mail1, nonsense := countingHost(t, having("anna@example.com"))
	dir := shortDir(t)
	text := "[cache]\nfile = \"memory\"\n" + "[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = \"" + mail1.address + "\"\n"
	p := startProgram(t, dir, text)
	p.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	waitKept(t, dir+"/memory", "anna", "Greeting")
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
	if !realhost.Eventually(func() bool { return len(mail1.asked()) >= 3 }) {
		t.Errorf("anna is not asked about again: %v", mail1.asked())
	}
	p.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	p.kill(t)
	if n := nonsense.Load(); n != 2 {
		t.Errorf("calibrated %d times when it was configured otherwise", n)
	}
}

// What keeps memory from being kept is said, and keeps nothing else.
func TestDaemonStartsWithoutItsFile(t *testing.T) {
	mail1 := startOddHost(t, having("anna@example.com"))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "foreign"), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none", "cache.db"): "make the directory, and let the daemon's user write there",
		dir:                                    "memory is not kept over a restart",
		filepath.Join(dir, "foreign"):          "is set aside as",
	} {
		d, r := startDaemon(t, siteText(mail1)+"[cache]\nfile = \""+file+"\"\n")
		d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		if !r.logged(want) {
			t.Errorf("%s: the log does not say %q", file, want)
		}
	}
}

func TestReloadWithAnotherFileKeepsWhatThereIs(t *testing.T) {
	mail1 := startOddHost(t, having("anna@example.com"))
	dir := t.TempDir()
	with := func(file string) string {
		return siteText(mail1) + fmt.Sprintf("[cache]\nfile = %q\n", filepath.Join(dir, file))
	}
	d, _ := startDaemon(t, with("one"))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	reloads(t, d, with("two"))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	for _, file := range []string{"one", "two"} {
		waitKept(t, filepath.Join(dir, file), "anna")
	}
	reloads(t, d, siteText(mail1))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	if d.keeper != nil {
		t.Error("it is kept yet")
	}
}

// A mailbox that its host denied a moment ago is in doubt over a restart, too: it
// may be on its way.
func TestDoubtOutlivesARestart(t *testing.T) {
	var gone atomic.Bool
	mail1 := startOddHost(t, func(to string) error {
		if to == "anna@example.com" && !gone.Load() {
			return nil
		}
		return errNobody
	})
	text := siteText(mail1) + fmt.Sprintf("[cache]\nfile = %q\nowner_refresh = \"1ms\"\n", filepath.Join(t.TempDir(), "memory"))
	d, _ := startDaemon(t, text)
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	gone.Store(true)
	if !realhost.Eventually(func() bool {
		f, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com"})
		return err == nil && f.Verdict == policy.Defer
	}) {
		t.Fatal("she is not in doubt")
	}
	d.stops(t)
	d, _ = startDaemon(t, text)
	d.wants(t, "anna@example.com", policy.Defer, "", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
}

// stops ends a daemon before the test does.
func (d *daemon) stops(t *testing.T) {
	t.Helper()
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
}
