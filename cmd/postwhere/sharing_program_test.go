package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// run runs a command of the program's by its configuration, and wants its output to
// match.
func (p *program) run(t *testing.T, want string, args ...string) {
	t.Helper()
	cmd := exec.Command("postwhere", append([]string{"-c", p.file}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10")
	out, _ := cmd.CombinedOutput() // the status is said by what is wanted
	if !regexp.MustCompile(want).Match(out) {
		t.Errorf("%q: got %q, want %q", args, out, want)
	}
}

// One of two front ends is down while the other is told to forget: it learns of it when
// it starts, though its file has it. And what the commands say meanwhile.
func TestPurgeReachesAFrontEndThatIsDown(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		mail1 := testbed.StartHost(t, testbed.Having("anna@example.com", "bert@example.com"))
		text := fmt.Sprintf("[cache]\nfile = \"memory\"\nshared = \"redis://%s/1\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = %q\nroute = \"smtp:[127.0.0.1]\"\n", r.Addr(), mail1.Address)
		here, there := testbed.ShortDir(t), testbed.ShortDir(t)
		one, two := startProgram(t, here, text), startProgram(t, there, text)
		for _, mailbox := range []string{"anna@example.com", "bert@example.com"} {
			one.wants(t, mailbox, policy.Deliver, "mail1", policy.SourceSearch)
			if !realhost.Eventually(func() bool { return two.look(t, mailbox).Source == policy.SourceMemory }) {
				t.Errorf("%s is not known there", mailbox)
			}
		}
		testbed.WaitKept(t, there+"/memory", "anna", "bert", "Purges")
		two.kill(t)
		one.run(t, `^address anna@example\.com: 1 owner\(s\) and 0 stranger\(s\) forgotten\n$`, "cache", "flush", "anna@example.com")
		one.run(t, `(?m)^shared:    through redis://127\.\S+/1, 0 change\(s\) wait$`, "cache", "stats")
		one.run(t, `(?m)^ok    shared memory: redis://127\.\S+/1 answers in \S+s$`, "check")
		two = startProgram(t, there, text)
		if !realhost.Eventually(func() bool { return two.log.Logged("memory is flushed at another front end") }) {
			t.Fatal("the other one does not learn of it")
		}
		two.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		two.wants(t, "bert@example.com", policy.Deliver, "mail1", policy.SourceMemory)

		r.Stop(t)
		if !realhost.Eventually(func() bool { return one.log.Logged("shared memory is away") }) {
			t.Fatal("it is not noticed")
		}
		one.run(t, `(?m)^postwhere: the other front ends have them yet, and will be told: is away since .+`, "cache", "flush", "bert@example.com")
		one.run(t, `(?m)^shared:    nothing through redis://127\.\S+/1 now, 1 change\(s\) wait: is away since .+$`, "cache", "stats")
		one.run(t, `(?m)^FAIL  shared memory: redis://127\.\S+/1: .*connection refused\. Until it can be used each front end goes on alone$`, "check")
		two.wants(t, "bert@example.com", policy.Deliver, "mail1", policy.SourceMemory)
		r.Start(t)
		if !realhost.Eventually(func() bool { return two.look(t, "bert@example.com").Source == policy.SourceSearch }) {
			t.Error("the purge is not caught up")
		}
	})
}

func TestCheckNamesTheRightsThatTheSharedMemoryLacks(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "user mail on >hush ~postwhere:* +@all -xadd -pexpire -select")
		for db, want := range map[string]string{"0": `\+pexpire \+xadd`, "1": `\+select`} {
			dir := testbed.ShortDir(t)
			p := &program{file: dir + "/postwhere.toml"}
			write(t, dir+"/password", "hush\n")
			write(t, p.file, fmt.Sprintf("[listen]\ncontrol = []\n[cache]\nfile = \"\"\nshared = \"redis://mail@%s/%s\"\nshared_password_file = \"password\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"127.0.0.1:1\"]\n", r.Addr(), db))
			p.run(t, `(?m)^FAIL  shared memory: redis://mail@127\.\S+/`+db+`: its user has not all rights: ACL SETUSER mail `+want+`\. Until it can be used each front end goes on alone$`, "check")
		}
	})
}
