package realhost

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"testing"
)

// childVar makes TestGuard the child process of itself, that starts the server
// of this name.
const childVar = "POSTWHERE_TEST_GUARD"

// guarded starts one of the servers.
func guarded(t *testing.T, name string) *Server {
	t.Helper()
	switch name {
	case "Dovecot":
		return DovecotLMTP(t, dovecotConfig()).Server
	case "Exim":
		return Exim(t, verifying()).Server
	case "OpenSMTPD":
		return OpenSMTPD(t, openSMTPDConfig()).Server
	case "Redis":
		return Redis.Start(t, "").Server
	case "Sendmail":
		return Sendmail(t, sendmailConfig()).Server
	case "Valkey":
		return Valkey.Start(t, "").Server
	default:
		return MailHost(t, "one.test", "anna@one.test").Server
	}
}

// A test process that is killed leaves nothing behind.
func TestGuard(t *testing.T) {
	if name := os.Getenv(childVar); name != "" {
		h := guarded(t, name)
		fmt.Println("server", h.session, h.Dir())
		select {}
	}
	t.Parallel()
	for _, name := range []string{"Dovecot", "Exim", "OpenSMTPD", "Postfix", "Redis", "Sendmail", "Valkey"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guarded(t, name) // where it cannot be, the test is skipped
			killChild(t, name)
		})
	}
}

func killChild(t *testing.T, name string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestGuard$")
	child.Env = append(os.Environ(), childVar+"="+name)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	adoptOrphans() // so that the child's server can be laid to rest
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	s := new(Server)
	for lines := bufio.NewScanner(out); s.dir == "" && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "server %d %s", &s.session, &s.dir) // or another line
	}
	started := s.dir != "" && len(s.remaining()) > 0
	if err := child.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = child.Wait() // says that it was killed
	if !started {
		t.Fatalf("the child did not start a server: session %d in %q", s.session, s.dir)
	}
	if left := s.waitGone(); len(left) > 0 {
		t.Errorf("processes of the child's server: %v", left)
	}
	if !poll(func() bool { _, err := os.Stat(s.dir); return os.IsNotExist(err) }) {
		t.Errorf("%s is still there", s.dir)
	}
}
