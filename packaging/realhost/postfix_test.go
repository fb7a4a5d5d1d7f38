package realhost

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A front end that knows from a table which of two hosts has a mailbox.
func TestPostfixRoutes(t *testing.T) {
	t.Parallel()
	north := MailHost(t, "one.test", "anna@one.test")
	south := MailHost(t, "one.test", "bert@one.test")
	bracket := func(addr string) string { return "relay:[" + strings.Replace(addr, ":", "]:", 1) }
	front := Postfix(t, PostfixConfig{
		Main: map[string]string{
			"relay_domains":        "one.test",
			"transport_maps":       "texthash:$config_directory/routes",
			"relay_recipient_maps": "$transport_maps",
		},
		Files: map[string]string{
			"routes": "anna@one.test " + bracket(north.Addr()) + "\nbert@one.test " + bracket(south.Addr()) + "\n",
		},
	})
	send(t, front.Addr(), "anna@one.test", "for anna")
	send(t, front.Addr(), "bert@one.test", "for bert")
	north.WaitMessage(t, "anna@one.test", "for anna")
	south.WaitMessage(t, "bert@one.test", "for bert")
	dial(t, front.Addr()).ask(t, 550, "VRFY carl@one.test")

	match := front.WaitLog(t, `postfix/relay/smtp\[\d+\]: (\w+): to=<bert@one\.test>, relay=.*, status=sent`)
	front.WaitLog(t, match[1]+": removed")
}

func TestPostfixConfig(t *testing.T) {
	t.Parallel()
	s := Postfix(t, PostfixConfig{
		Main: map[string]string{
			"myhostname":        "front.test",
			"default_transport": "slow",
			"mynetworks":        "127.0.0.0/8,\n[::1]/128",
		},
		SMTP: []SMTPService{
			{Addr: "127.0.0.1:0", Options: []string{"smtpd_banner=$myhostname is one"}},
			{Options: []string{"smtpd_banner=$myhostname is two"}},
		},
		Master: []string{
			"slow unix - - n - 1 smtp\n    -o smtp_helo_name=slow.test",
			"pickup unix n - n 120 1 pickup",
		},
	})
	if len(s.Addrs()) != 2 || s.Addr() != s.Addrs()[0] || !strings.HasPrefix(s.Addr(), "127.0.0.1:") {
		t.Errorf("addresses %q, first %q", s.Addrs(), s.Addr())
	}
	for i, want := range []string{"front.test is one", "front.test is two"} {
		if got := banner(t, s.Addrs()[i]); got != want {
			t.Errorf("service %d says %q, want %q", i, got, want)
		}
	}
	master := s.Run(t, "postconf", "-M")
	if strings.Count(master, "pickup") != 2 || !strings.Contains(master, "120") {
		t.Errorf("the entry for pickup was not replaced:\n%s", master)
	}
	if got := s.Run(t, "postconf", "-h", "config_directory"); got != filepath.Join(s.Dir(), "etc")+"\n" {
		t.Errorf("commands act on %q", got)
	}
	if strings.Contains(s.Log(), "warning") {
		t.Errorf("Postfix complains:\n%s", s.Log())
	}
}

func banner(t *testing.T, addr string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(buf[:n])), "220 ")
}

// Mail for anywhere else is refused without a question to the DNS, and mail for
// another machine stays here.
func TestPostfixLetsNothingOut(t *testing.T) {
	t.Parallel()
	s := Postfix(t, PostfixConfig{Main: map[string]string{
		"relay_domains":  "out.test",
		"transport_maps": "inline:{out.test=smtp:[192.0.2.1]}",
	}})
	dial(t, s.Addr()).ask(t, 550, "VRFY someone@example.test")
	send(t, s.Addr(), "someone@out.test", "hello")
	match := s.WaitLog(t, `to=<someone@out\.test>.* status=(\w+) \((.*)\)`)
	if match[1] != "deferred" || !strings.Contains(match[2], "connect to 192.0.2.1") {
		t.Errorf("mail to another machine: %q", match[0])
	}
}

func TestPostfixIsGoneAfterTheTest(t *testing.T) {
	t.Parallel()
	Need(t, "postfix")
	var s *Server
	t.Run("test", func(t *testing.T) {
		s = Postfix(t, PostfixConfig{})
		if len(s.remaining()) == 0 {
			t.Error("no processes found of a server that runs")
		}
	})
	if left := s.remaining(); len(left) > 0 {
		t.Errorf("processes %v", left)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("directory: %v", err)
	}
	if err := greeting(s.Addr()); err == nil {
		t.Error("it still greets")
	}
}
