package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postwhere/packaging/machine"
	"postwhere/packaging/realhost"
)

// running is a site where the daemon runs under its unit.
func running(t *testing.T) *site {
	t.Helper()
	s := newSite(t, machine.Systemd)
	s.dpkg(t, newVersion)
	s.configure(t, "")
	s.Run(t, "systemctl", "enable", "--now", "postwhere")
	return s
}

// What the unit takes from the daemon it has not, and works nevertheless.
func TestDaemonWorksUnderItsUnit(t *testing.T) {
	s := running(t)
	s.answers(t)
	status := s.Run(t, "cat", "/proc/"+s.show(t, "MainPID")+"/status")
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(status, want+"\n") {
			t.Errorf("it is not %q:\n%s", want, status)
		}
	}
	findsNothing(t, `^$`, "nsenter", "--target", strings.Split(s.Path(""), "/")[2], "--all", "systemd-analyze", "verify", "postwhere.service")

	// A good reload, and a bad one.
	s.configure(t, "[reply]\nreject = \"550 5.1.1 Not here\"\n")
	s.Run(t, "systemctl", "reload", "postwhere")
	if !realhost.Eventually(func() bool { return strings.Contains(s.Shell(t, "bash /run/ask nobody@example.com"), "Not here") }) {
		t.Error("a reload changes nothing")
	}
	s.Write(t, "/etc/postwhere/postwhere.toml", "nonsense")
	if out := s.Shell(t, "systemctl reload postwhere && echo it does not fail; postwhere check 2>&1; :"); strings.Contains(out, "does not fail") || !strings.Contains(out, "the running daemon goes on by the configuration of 20") {
		t.Errorf("a bad configuration is not told of: %s", out)
	}
	if !realhost.Eventually(func() bool {
		return strings.HasPrefix(s.show(t, "StatusText"), "Reload failed, everything is as it was: ")
	}) {
		t.Errorf("systemd shows %q", s.show(t, "StatusText"))
	}
	s.wants(t, "anna@example.com nobody@example.com", "action=DUNNO", "action=550 5.1.1 Not here")
	s.configure(t, "")

	// A restart, and an end that nobody has asked for: who asks meanwhile waits.
	s.undisturbed(t, func() { s.Run(t, "systemctl", "restart", "postwhere") })
	s.logcheck(t)
	pid := s.show(t, "MainPID")
	s.Run(t, "kill", "-KILL", pid)
	if !realhost.Eventually(func() bool { return s.show(t, "MainPID") != pid && s.show(t, "ActiveState") == "active" }) {
		t.Error("killed, it does not start again")
	}
	s.answers(t)

	// One that hangs is ended, and begins anew.
	s.Write(t, "/run/systemd/system/postwhere.service.d/test.conf", "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
	s.Run(t, "systemctl", "daemon-reload")
	s.Run(t, "systemctl", "restart", "postwhere")
	s.answers(t)
	pid = s.show(t, "MainPID")
	s.Run(t, "kill", "-STOP", pid)
	if !realhost.Eventually(func() bool { return s.show(t, "MainPID") != pid && s.show(t, "ActiveState") == "active" }) {
		t.Error("it hangs, and is not started again")
	}
	s.answers(t)
	if log := s.Shell(t, "journalctl --no-pager -u postwhere"); !strings.Contains(log, "Watchdog timeout") {
		t.Errorf("systemd's watchdog did not bark:\n%s", log)
	}
}

// Root can read what the daemon's user cannot, whether that runs or is yet to.
func TestCheckOfRootSeesWhatTheServiceCannotRead(t *testing.T) {
	s := running(t)
	const want = "is of no use to the user postwhere, as whom the daemon runs: "
	s.Run(t, "systemctl", "is-active", "postwhere")
	if out := s.Shell(t, "postwhere check; :"); strings.Contains(out, want) || strings.Contains(out, "memory: ") {
		t.Errorf("all is well, and check says:\n%s", out)
	}
	s.Run(t, "chown", "root:root", "/etc/postwhere/postwhere.toml")
	s.Run(t, "chmod", "600", "/etc/postwhere/postwhere.toml")
	for range 2 {
		if out := s.Shell(t, "postwhere check; :"); !strings.Contains(out, "FAIL  configuration: "+want) {
			t.Errorf("it cannot be read, and check says:\n%s", out)
		}
		s.Run(t, "systemctl", "stop", "postwhere.service", "postwhere-policy.socket", "postwhere-milter.socket", "postwhere-socketmap.socket")
	}
}

// A broken configuration is no end: once it is mended all goes on by itself.
func TestDaemonComesBackWhenItsConfigurationIsMended(t *testing.T) {
	s := running(t)
	s.answers(t)
	s.Write(t, "/etc/postwhere/postwhere.toml", "nonsense")
	if err := s.Try("systemctl", "restart", "postwhere"); err == nil {
		t.Error("started with nonsense")
	}
	end := s.Start(t, "bash", "/run/ask", "anna@example.com")
	if !realhost.Eventually(func() bool { return s.show(t, "NRestarts") != "0" && s.show(t, "NRestarts") != "1" }) {
		t.Error("it is not tried again")
	}
	s.configure(t, "")
	if !realhost.Eventually(func() bool { return s.show(t, "ActiveState") == "active" }) {
		t.Error("it does not come back")
	}
	s.answers(t)
	if said := end(); said != "action=DUNNO\n" {
		t.Errorf("who asked meanwhile is told %q", said)
	}
}

// Sockets that a chrooted Postfix reaches: held by systemd as the examples have it,
// and made by the daemon. Postfix's own user gets in, and nobody else.
func TestSocketsInPostfixsChroot(t *testing.T) {
	realhost.Need(t, "postmap")
	s := running(t)
	s.Write(t, "/etc/postfix/main.cf", "compatibility_level = 3.6\n") // which postmap wants
	s.configure(t, `[listen]
policy    = ["unix:/var/spool/postfix/postwhere/policy"]
milter    = ["unix:/var/spool/postfix/postwhere/milter"]
socketmap = ["unix:/var/spool/postfix/postwhere/socketmap"]
`)
	s.Run(t, "systemctl", "stop", "postwhere.service", "postwhere-policy.socket", "postwhere-milter.socket", "postwhere-socketmap.socket")
	for _, face := range []string{"policy", "milter", "socketmap"} {
		text, err := os.ReadFile(filepath.Join("examples", "postwhere-"+face+".socket.conf"))
		if err != nil {
			t.Fatal(err)
		}
		s.Write(t, "/etc/systemd/system/postwhere-"+face+".socket.d/chroot.conf", string(text))
	}
	s.Run(t, "systemctl", "daemon-reload")
	s.Run(t, "systemctl", "start", "postwhere")
	reached := func(held string) {
		t.Helper()
		for _, face := range []string{"policy", "milter", "socketmap"} {
			s.stats(t, map[string]string{"/var/spool/postfix/postwhere/" + face: "postwhere:postfix 660"})
		}
		ask := []string{"--clear-groups", "postmap", "-q", "bert@example.com", "socketmap:unix:/var/spool/postfix/postwhere/socketmap:transport"}
		if got := s.Run(t, "setpriv", append([]string{"--reuid=postfix", "--regid=postfix"}, ask...)...); got != "smtp:[mail2]:25\n" {
			t.Errorf("%s: Postfix is told %q", held, got)
		}
		if err := s.Try("setpriv", append([]string{"--reuid=nobody", "--regid=nogroup"}, ask...)...); err == nil {
			t.Errorf("%s: nobody gets in", held)
		}
	}
	reached("held by systemd")
	s.states(t, "active", "enabled")

	s.Run(t, "systemctl", "stop", "postwhere.service", "postwhere-policy.socket", "postwhere-milter.socket", "postwhere-socketmap.socket")
	s.Run(t, "systemctl", "disable", "postwhere-policy.socket", "postwhere-milter.socket", "postwhere-socketmap.socket")
	s.Shell(t, "rm -f /var/spool/postfix/postwhere/*")
	s.Run(t, "systemctl", "start", "postwhere")
	reached("made by the daemon")
	// As many may wait as at systemd's, though the unit hides from Go how many that is.
	if is, want := s.Shell(t, "ss -Hxl src unix:/var/spool/postfix/postwhere/policy | awk '{print $4}'"), s.Shell(t, `awk '{print ($1 < 4096) ? $1 : 4096}' /proc/sys/net/core/somaxconn`); is != want {
		t.Errorf("%s may wait at a socket of the daemon's, want %s", is, want)
	}
}

// logcheck wants that logcheck is silent about what the daemon has logged of a good
// day, and only about that.
func (s *site) logcheck(t *testing.T) {
	t.Helper()
	rules, err := filepath.Abs("debian/logcheck")
	if err != nil {
		t.Fatal(err)
	}
	log := s.Shell(t, "journalctl --no-pager -q -o short _SYSTEMD_UNIT=postwhere.service")
	if !strings.Contains(log, "verdict=deliver") || !strings.Contains(log, "verdict=reject") || !strings.Contains(log, "msg=draining") {
		t.Fatalf("that was no day:\n%s", log)
	}
	cmd := exec.Command("grep", "-vEf", rules)
	cmd.Stdin = strings.NewReader(log)
	rest, _ := cmd.CombinedOutput() // its status says whether there is some
	for line := range strings.Lines(string(rest)) {
		if !strings.Contains(line, `level=ERROR msg="reload failed`) && !strings.Contains(line, "; the daemon goes on by") { // that was bad
			t.Errorf("logcheck reports %s", line)
		}
	}
	if len(rest) == 0 {
		t.Error("logcheck is silent about a reload that has failed")
	}
}
