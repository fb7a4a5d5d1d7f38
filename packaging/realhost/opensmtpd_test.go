package realhost

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func openSMTPDConfig() OpenSMTPDConfig {
	return OpenSMTPDConfig{
		Virtual:   "one.test two.test",
		Local:     "three.test",
		Mailboxes: []string{"Anna@one.test", "bert@two.test", "carl@three.test"},
		Aliases: map[string]string{
			"Info@one.test":   "anna@one.test",
			"gone@one.test":   "nobody@one.test",
			"post@three.test": "carl@three.test",
			"gone@three.test": "nobody@three.test",
			"away@three.test": "anna@one.test",
		},
	}
}

const (
	opensmtpdOK      = "250 2.1.5 Destination address valid: Recipient ok"
	opensmtpdUnknown = "500 5.5.1 Invalid command: Command unrecognized"
)

func TestOpenSMTPDRecipients(t *testing.T) {
	t.Parallel()
	h := OpenSMTPD(t, openSMTPDConfig())
	if got := dial(t, h.Addr()).reply(t, "EHLO client.test"); strings.Contains(got, "VRFY") || strings.Contains(got, "PIPELINING") {
		t.Errorf("EHLO: %q", got)
	}
	talk(t, h.Addr(), []exchange{
		{"VRFY anna@one.test", opensmtpdUnknown},
		{"VRFY nobody@one.test", opensmtpdUnknown},
		{"MAIL FROM:<>", "250 2.0.0 Ok"},

		{"RCPT TO:<anna@one.test>", opensmtpdOK},
		{"RCPT TO:<ANNA@ONE.test>", opensmtpdOK},
		{"RCPT TO:<anna+x@one.test>", opensmtpdOK},
		{"RCPT TO:<bert@two.test>", opensmtpdOK},
		{"RCPT TO:<info@one.test>", opensmtpdOK},
		{"RCPT TO:<nobody@one.test>", "524 5.2.4 Mailing list expansion problem: <nobody@one.test>"},
		{"RCPT TO:<nobody+x@one.test>", "524 5.2.4 Mailing list expansion problem: <nobody+x@one.test>"},
		{"RCPT TO:<gone@one.test>", "524 5.2.4 Mailing list expansion problem: <gone@one.test>"},
		{"RCPT TO:<anna@two.test>", "524 5.2.4 Mailing list expansion problem: <anna@two.test>"},

		{"RCPT TO:<carl@three.test>", opensmtpdOK},
		{"RCPT TO:<Carl+x@three.test>", opensmtpdOK},
		{"RCPT TO:<post@three.test>", opensmtpdOK},
		{"RCPT TO:<away@three.test>", opensmtpdOK},
		{"RCPT TO:<nobody@three.test>", "550 Invalid recipient: <nobody@three.test>"},
		{"RCPT TO:<gone@three.test>", "550 Invalid recipient: <gone@three.test>"},
		{"RCPT TO:<anna@three.test>", "550 Invalid recipient: <anna@three.test>"},

		{"RCPT TO:<anna@four.test>", "550 Invalid recipient: <anna@four.test>"},
		{`RCPT TO:<"anna"@one.test>`, "501 5.1.3 Recipient address syntax error"},
		{`RCPT TO:<"carl c"@three.test>`, "501 5.1.3 Recipient address syntax error"},
	})
	s := dial(t, h.Addr())
	if got, want := s.reply(t, "MAIL FROM:<>"), "503 5.5.1 Invalid command: Command not allowed at this point."; got != want {
		t.Errorf("MAIL without EHLO: %s, want %s", got, want)
	}
}

// It bears more VRFY in one session than others do.
func TestOpenSMTPDBears(t *testing.T) {
	t.Parallel()
	h := OpenSMTPD(t, openSMTPDConfig())
	asked := slices.Repeat([]exchange{{"VRFY anna@one.test", opensmtpdUnknown}}, 30)
	talk(t, h.Addr(), append(asked, exchange{"MAIL FROM:<>", "250 2.0.0 Ok"}))
}

func TestOpenSMTPDConf(t *testing.T) {
	t.Parallel()
	h := OpenSMTPD(t, OpenSMTPDConfig{Conf: "smtp max-message-size 1234567"})
	if got := dial(t, h.Addr()).reply(t, "EHLO client.test"); !strings.Contains(got, "\nSIZE 1234567\n") {
		t.Errorf("EHLO: %q", got)
	}
	talk(t, h.Addr(), []exchange{
		{"MAIL FROM:<>", "250 2.0.0 Ok"},
		{"RCPT TO:<anna@one.test>", "550 Invalid recipient: <anna@one.test>"},
	})
}

func TestOpenSMTPDDelivers(t *testing.T) {
	t.Parallel()
	h := OpenSMTPD(t, openSMTPDConfig())
	for to, box := range map[string]string{
		"Anna@one.test":   "anna@one.test",
		"bert@two.test":   "bert@two.test",
		"info@one.test":   "anna@one.test",
		"carl@three.test": "carl@three.test",
		"post@three.test": "carl@three.test",
		"away@three.test": "anna@one.test",
	} {
		send(t, h.Addr(), to, "for "+to)
		message := h.WaitMessage(t, box, "for "+to)
		if want := "From: <sender@example.test>\n"; !strings.Contains(message, want) {
			t.Errorf("message without %q:\n%s", want, message)
		}
	}
	if got := len(h.Messages(t, "anna@one.test")); got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
	if match := h.WaitLog(t, `mda delivery .* rcpt=<post@three\.test> .* stat=(\w+)`); match[1] != "Delivered" {
		t.Errorf("the log says %q", match)
	}
}

func TestOpenSMTPDMailboxesChange(t *testing.T) {
	t.Parallel()
	h := OpenSMTPD(t, openSMTPDConfig())
	for range 3 {
		for address, refused := range map[string]string{
			"dora@one.test":   "524 5.2.4 Mailing list expansion problem: <dora@one.test>",
			"emil@three.test": "550 Invalid recipient: <emil@three.test>",
		} {
			rcpt := "RCPT TO:<" + address + ">"
			talk(t, h.Addr(), []exchange{{"MAIL FROM:<>", "250 2.0.0 Ok"}, {rcpt, refused}})
			h.AddMailbox(t, address)
			talk(t, h.Addr(), []exchange{{"MAIL FROM:<>", "250 2.0.0 Ok"}, {rcpt, opensmtpdOK}})
			send(t, h.Addr(), address, "hello")
			h.WaitMessage(t, address, "hello")
			h.RemoveMailbox(t, address)
		}
	}
	h.Stop(t)
	h.AddMailbox(t, "dora@one.test")
	h.Start(t)
	talk(t, h.Addr(), []exchange{{"MAIL FROM:<>", "250 2.0.0 Ok"}, {"RCPT TO:<dora@one.test>", opensmtpdOK}})
}

func TestOpenSMTPDStopsAndStarts(t *testing.T) {
	t.Parallel()
	stopsAndStarts(t, OpenSMTPD(t, openSMTPDConfig()), "anna@one.test")
}

// Nobody else sees what it sees.
func TestOpenSMTPDIsApart(t *testing.T) {
	t.Parallel()
	h := OpenSMTPD(t, openSMTPDConfig())
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), h.Dir()) {
		t.Errorf("mounts:\n%s", mounts)
	}
}

func TestOpenSMTPDDoesNotStart(t *testing.T) {
	t.Parallel()
	doesNotStart(t, "smtpd.conf:1: syntax error", func(t testing.TB) {
		t.Helper()
		OpenSMTPD(t, OpenSMTPDConfig{Conf: "no such thing"})
	})
}
