package realhost

import (
	"fmt"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func dovecotConfig() DovecotConfig {
	return DovecotConfig{
		Mailboxes: []string{"Anna@one.test", "bert@two.test", `"carl c"@one.test`},
		Full:      []string{"full@one.test"},
		Aliases:   map[string]string{"Info@one.test": "Anna@one.test", "lost@one.test": "nobody@one.test"},
	}
}

func dialUnix(t *testing.T, path string) session {
	t.Helper()
	conn, err := textproto.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := session{conn}
	s.read(t, 220)
	return s
}

// lmtp has the dialogue in a session that begins with LHLO.
func lmtp(t *testing.T, s session, dialogue ...exchange) {
	t.Helper()
	s.ask(t, 250, "LHLO client.test")
	s.talk(t, dialogue)
}

const dovecotSyntax = "501 5.5.4 Invalid string parameter: Invalid character in string"

var dovecotRecipients = []exchange{
	{"VRFY anna@one.test", dovecotSyntax},
	{"VRFY <anna@one.test>", dovecotSyntax},
	{"VRFY nobody@one.test", dovecotSyntax},
	{"VRFY anna", "252 2.3.3 Try RCPT instead"},
	{"VRFY nobody", "252 2.3.3 Try RCPT instead"},
	{"MAIL FROM:<>", "250 2.1.0 OK"},
	{"RCPT TO:<anna@one.test>", "250 2.1.5 OK"},
	{"RCPT TO:<Anna@ONE.test>", "250 2.1.5 OK"},
	{"RCPT TO:<anna+x@one.test>", "250 2.1.5 OK"},
	{"RCPT TO:<bert@two.test>", "250 2.1.5 OK"},
	{`RCPT TO:<"carl c"@one.test>`, "250 2.1.5 OK"},
	{"RCPT TO:<info@one.test>", "250 2.1.5 OK"},
	{"RCPT TO:<full@one.test>", "250 2.1.5 OK"},
	{"RCPT TO:<nobody@one.test>", "550 5.1.1 <nobody@one.test> User doesn't exist: nobody@one.test"},
	{"RCPT TO:<lost@one.test>", "550 5.1.1 <lost@one.test> User doesn't exist: lost@one.test"},
	{"RCPT TO:<anna@two.test>", "550 5.1.1 <anna@two.test> User doesn't exist: anna@two.test"},
	{"RCPT TO:<anna@three.test>", "550 5.1.1 <anna@three.test> User doesn't exist: anna@three.test"},
	{"RCPT TO:<Nobody+x@one.test>", "550 5.1.1 <Nobody+x@one.test> User doesn't exist: Nobody@one.test"},
	{`RCPT TO:<"carl d"@one.test>`, `550 5.1.1 <"carl d"@one.test> User doesn't exist: carl d@one.test`},
	{"RCPT TO:anna@one.test", "501 5.5.4 Invalid TO: Missing '<' at beginning of path"},
}

func TestDovecotRecipients(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	for _, s := range []session{dial(t, h.Addr()), dialUnix(t, filepath.Join(h.Dir(), LMTPSocket))} {
		if got, want := s.reply(t, "EHLO client.test"), "500 5.5.1 Unknown command"; got != want {
			t.Errorf("EHLO: %s, want %s", got, want)
		}
		if got := s.reply(t, "LHLO client.test"); !strings.Contains(got, "\nPIPELINING") || strings.Contains(got, "VRFY") {
			t.Errorf("LHLO: %q", got)
		}
		lmtp(t, s, dovecotRecipients...)
	}
}

func TestDovecotFull(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	const full = ".2.2 <full@one.test> Quota exceeded (mailbox for user is full)"
	if got := deliver(t, h, "full@one.test", "hello"); got != "552 5"+full {
		t.Errorf("reply to a message for a full mailbox: %s", got)
	}
	if got := len(h.Messages(t, "full@one.test")); got != 1 {
		t.Errorf("%d messages, want 1", got)
	}
	for conf, refused := range map[string]string{
		"lmtp_rcpt_check_quota = yes":                            "552 5" + full,
		"lmtp_rcpt_check_quota = yes\nquota_full_tempfail = yes": "452 4" + full,
	} {
		t.Run(refused[:3], func(t *testing.T) {
			t.Parallel()
			cfg := dovecotConfig()
			cfg.Conf = conf
			lmtp(t, dial(t, DovecotLMTP(t, cfg).Addr()),
				exchange{"MAIL FROM:<>", "250 2.1.0 OK"},
				exchange{"RCPT TO:<full@one.test>", refused},
				exchange{"RCPT TO:<anna@one.test>", "250 2.1.5 OK"},
				exchange{"RCPT TO:<nobody@one.test>", "550 5.1.1 <nobody@one.test> User doesn't exist: nobody@one.test"},
			)
		})
	}
}

// The 11th command that it does not understand ends the session.
func TestDovecotTooManyInvalid(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	s := dial(t, h.Addr())
	lmtp(t, s, slices.Repeat([]exchange{{"VRFY anna@one.test", dovecotSyntax}}, 10)...)
	if got := s.reply(t, "VRFY anna@one.test"); !strings.HasPrefix(got, "421 4.7.0 ") || !strings.HasSuffix(got, " Too many invalid commands.") {
		t.Errorf("the 11th: %s", got)
	}
	s.hungUp(t)

	// It bears any number of strangers.
	s = dial(t, h.Addr())
	lmtp(t, s, exchange{"MAIL FROM:<>", "250 2.1.0 OK"})
	s.talk(t, slices.Repeat([]exchange{
		{"RCPT TO:<nobody@one.test>", "550 5.1.1 <nobody@one.test> User doesn't exist: nobody@one.test"},
	}, 100))
}

// What a Dovecot says that cannot look into its own table. If there is no such
// file it knows for sure that nobody has a mailbox.
func TestDovecotCannotTell(t *testing.T) {
	t.Parallel()
	for reply, spoil := range map[string]func(table string) error{
		"451 4.3.0 <anna@one.test> Temporary internal error":          func(table string) error { return os.Chmod(table, 0) },
		"550 5.1.1 <anna@one.test> User doesn't exist: anna@one.test": os.Remove,
	} {
		t.Run(reply[:3], func(t *testing.T) {
			t.Parallel()
			h := DovecotLMTP(t, dovecotConfig())
			if err := spoil(filepath.Join(h.Dir(), "etc", mailboxTable)); err != nil {
				t.Fatal(err)
			}
			lmtp(t, dial(t, h.Addr()),
				exchange{"MAIL FROM:<>", "250 2.1.0 OK"},
				exchange{"RCPT TO:<anna@one.test>", reply},
			)
		})
	}
}

// deliver sends a message by LMTP and returns the reply.
func deliver(t *testing.T, h *Host, to, text string) string {
	t.Helper()
	s := dial(t, h.Addr())
	lmtp(t, s,
		exchange{"MAIL FROM:<sender@example.test>", "250 2.1.0 OK"},
		exchange{"RCPT TO:<" + to + ">", "250 2.1.5 OK"},
		exchange{"DATA", "354 OK"},
	)
	return s.reply(t, "From: <sender@example.test>\r\nSubject: test\r\n\r\n"+text+"\r\n.")
}

func TestDovecotDelivers(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	for to, box := range map[string]string{
		"Anna@one.test":     "anna@one.test",
		"bert@two.test":     "bert@two.test",
		`"carl c"@one.test`: `"carl c"@one.test`,
		"info@one.test":     "anna@one.test",
	} {
		if got := deliver(t, h, to, "for "+to); !strings.HasPrefix(got, "250 2.0.0 <"+to+"> ") {
			t.Errorf("reply %s", got)
		}
		message := h.WaitMessage(t, box, "for "+to)
		if want := "From: <sender@example.test>\n"; !strings.Contains(message, want) {
			t.Errorf("message without %q:\n%s", want, message)
		}
	}
	if got := len(h.Messages(t, "anna@one.test")); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
	h.WaitLog(t, `lmtp\(bert@two\.test\).*: saved mail to INBOX`)
}

// Postfix delivers to both of its sockets.
func TestDovecotBehindPostfix(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	front := Postfix(t, PostfixConfig{
		Main: map[string]string{
			"relay_domains":  "one.test two.test",
			"transport_maps": "texthash:$config_directory/routes",
		},
		Files: map[string]string{
			"routes": "one.test lmtp:inet:" + h.Addr() + "\ntwo.test lmtp:unix:" + filepath.Join(h.Dir(), LMTPSocket) + "\n",
		},
	})
	for _, to := range []string{"anna@one.test", "bert@two.test"} {
		send(t, front.Addr(), to, "for "+to)
		h.WaitMessage(t, to, "for "+to)
	}
	send(t, front.Addr(), "nobody@two.test", "hello")
	front.WaitLog(t, `to=<nobody@two\.test>.* status=bounced \(.* said: 550 5\.1\.1 <nobody@two\.test> User doesn't exist`)
}

func TestDovecotMailboxesChange(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	ask := func(address, reply string) {
		t.Helper()
		lmtp(t, dial(t, h.Addr()), exchange{"MAIL FROM:<>", "250 2.1.0 OK"}, exchange{"RCPT TO:<" + address + ">", reply})
	}
	for range 5 {
		ask("dora@one.test", "550 5.1.1 <dora@one.test> User doesn't exist: dora@one.test")
		h.AddMailbox(t, "Dora@one.test")
		ask("dora@one.test", "250 2.1.5 OK")
		deliver(t, h, "dora@one.test", "hello")
		h.WaitMessage(t, "dora@one.test", "hello")
		h.RemoveMailbox(t, "dora@one.test")
	}
	h.Stop(t)
	h.AddMailbox(t, "emil@one.test")
	h.Start(t)
	ask("emil@one.test", "250 2.1.5 OK")
}

func TestDovecotStopsAndStarts(t *testing.T) {
	t.Parallel()
	h := DovecotLMTP(t, dovecotConfig())
	s := dial(t, h.Addr())
	lmtp(t, s,
		exchange{"MAIL FROM:<>", "250 2.1.0 OK"},
		exchange{"RCPT TO:<anna@one.test>", "250 2.1.5 OK"},
		exchange{"DATA", "354 OK"},
	)
	restarts(t, h)
	s.hungUp(t)
	deliver(t, h, "anna@one.test", "hello")
	h.WaitMessage(t, "anna@one.test", "hello")
}

func TestDovecotDoesNotStart(t *testing.T) {
	t.Parallel()
	doesNotStart(t, "Unknown setting: no_such_setting", func(t testing.TB) {
		t.Helper()
		DovecotLMTP(t, DovecotConfig{Conf: "no_such_setting = yes"})
	})
}

func TestManyDovecots(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			address := fmt.Sprintf("user%d@one.test", i)
			stranger := fmt.Sprintf("user%d@one.test", i+1)
			h := DovecotLMTP(t, DovecotConfig{Mailboxes: []string{address}})
			lmtp(t, dial(t, h.Addr()),
				exchange{"MAIL FROM:<>", "250 2.1.0 OK"},
				exchange{"RCPT TO:<" + address + ">", "250 2.1.5 OK"},
				exchange{"RCPT TO:<" + stranger + ">", "550 5.1.1 <" + stranger + "> User doesn't exist: " + stranger},
			)
			deliver(t, h, address, "hello")
			h.WaitMessage(t, address, "hello")
		})
	}
}
