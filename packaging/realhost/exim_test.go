package realhost

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// verifying is the configuration of an Exim that answers VRFY, as often as it is
// asked.
func verifying() EximConfig {
	return EximConfig{
		Domains:   "one.test two.test",
		Mailboxes: []string{"anna@one.test", "bert@two.test", `"carl c"@one.test`},
		Aliases:   map[string]string{"Info@one.test": "anna@one.test", "gone@one.test": "nobody@one.test"},
		Main:      map[string]string{"acl_smtp_vrfy": "accept", "smtp_accept_max_nonmail": "100"},
	}
}

func TestEximVerifies(t *testing.T) {
	t.Parallel()
	h := Exim(t, verifying())
	if got := dial(t, h.Addr()).reply(t, "EHLO client.test"); !strings.Contains(got, "\nVRFY\n") {
		t.Errorf("EHLO does not offer VRFY: %q", got)
	}
	talk(t, h.Addr(), []exchange{
		{"VRFY anna@one.test", "250 <anna@one.test> is deliverable"},
		{"VRFY <Anna@ONE.test>", "250 <Anna@ONE.test> is deliverable"},
		{"VRFY bert@two.test", "250 <bert@two.test> is deliverable"},
		{`VRFY "carl c"@one.test`, `250 <"carl c"@one.test> is deliverable`},
		{`VRFY <"carl c"@one.test>`, `250 <"carl c"@one.test> is deliverable`},
		{`VRFY <"anna"@one.test>`, `250 <"anna"@one.test> is deliverable`},
		{"VRFY info@one.test", "250 <info@one.test> is deliverable"},
		{"VRFY gone@one.test", "550 <gone@one.test> Unrouteable address"},
		{"VRFY nobody@one.test", "550 <nobody@one.test> Unrouteable address"},
		{"VRFY anna@two.test", "550 <anna@two.test> Unrouteable address"},
		{"VRFY anna@three.test", "550 <anna@three.test> Unrouteable address"},
		{"VRFY anna+x@one.test", "550 <anna+x@one.test> Unrouteable address"},
		{`VRFY "carl d"@one.test`, `550 <"carl d"@one.test> Unrouteable address`},
		{"VRFY anna", "501 anna: recipient address must contain a domain"},
	})
}

var eximRecipients = []exchange{
	{"MAIL FROM:<>", "250 OK"},
	{"RCPT TO:<anna@one.test>", "250 Accepted"},
	{"RCPT TO:<Anna@ONE.test>", "250 Accepted"},
	{`RCPT TO:<"carl c"@one.test>`, "250 Accepted"},
	{"RCPT TO:<info@one.test>", "250 Accepted"},
	{"RCPT TO:<gone@one.test>", "550 Unrouteable address"},
	{"RCPT TO:<nobody@one.test>", "550 Unrouteable address"},
	{`RCPT TO:<"carl d"@one.test>`, "550 Unrouteable address"},
	{"RCPT TO:<anna@three.test>", "550 relay not permitted"},
	{"RCPT TO:<anna>", "501 <anna>: recipient address must contain a domain"},
	{"RCPT TO:<nobody@two.test>", "550 Unrouteable address"},
	{"RCPT TO:<bert@two.test>", "250 Accepted"},
}

// As it comes VRFY tells nothing.
func TestEximByDefault(t *testing.T) {
	t.Parallel()
	cfg := verifying()
	cfg.Main = nil
	h := Exim(t, cfg)
	if got := dial(t, h.Addr()).reply(t, "EHLO client.test"); strings.Contains(got, "VRFY") {
		t.Errorf("EHLO offers VRFY: %q", got)
	}
	talk(t, h.Addr(), append([]exchange{
		{"VRFY anna@one.test", "252 Administrative prohibition"},
		{"VRFY nobody@one.test", "252 Administrative prohibition"},
	}, eximRecipients...))
}

// The 11th command that is not about a mail ends the session, whether there was
// an answer or not.
func TestEximTooManyNonmail(t *testing.T) {
	t.Parallel()
	for acl, reply := range map[string]string{
		"":       "252 Administrative prohibition",
		"accept": "250 <anna@one.test> is deliverable",
	} {
		t.Run(acl, func(t *testing.T) {
			t.Parallel()
			cfg := verifying()
			cfg.Main = map[string]string{"acl_smtp_vrfy": acl}
			h := Exim(t, cfg)
			asked := slices.Repeat([]exchange{{"VRFY anna@one.test", reply}}, 10)
			s := talk(t, h.Addr(), append(asked, exchange{"VRFY anna@one.test", "554 Too many nonmail commands"}))
			s.hungUp(t)
			talk(t, h.Addr(), asked)
		})
	}
}

func TestEximTooManyBad(t *testing.T) {
	t.Parallel()
	cfg := verifying()
	cfg.RCPT = EximTooManyBad
	h := Exim(t, cfg)
	asked := []exchange{{"MAIL FROM:<>", "250 OK"}}
	asked = append(asked, slices.Repeat([]exchange{{"RCPT TO:<nobody@one.test>", "550 Unrouteable address"}}, 10)...)
	talk(t, h.Addr(), append(asked, exchange{"RCPT TO:<anna@one.test>", "550 Rejected for too many bad recipients"}))
}

func TestEximAcceptsEverybody(t *testing.T) {
	t.Parallel()
	cfg := verifying()
	cfg.RCPT = "accept"
	h := Exim(t, cfg)
	talk(t, h.Addr(), []exchange{
		{"VRFY nobody@one.test", "550 <nobody@one.test> Unrouteable address"},
		{"MAIL FROM:<>", "250 OK"},
		{"RCPT TO:<nobody@one.test>", "250 Accepted"},
		{"RCPT TO:<anna@three.test>", "250 Accepted"},
	})
	// The bounce stays here.
	send(t, h.Addr(), "nobody@one.test", "for nobody")
	id := h.WaitLog(t, ` (\S+) \*\* nobody@one\.test: Unrouteable address`)[1]
	h.WaitLog(t, " <= <> R="+id+" ")
	h.WaitLog(t, id+" Completed")
}

func TestEximCatchAll(t *testing.T) {
	t.Parallel()
	cfg := verifying()
	cfg.CatchAll = "anna@one.test"
	h := Exim(t, cfg)
	talk(t, h.Addr(), []exchange{
		{"VRFY bert@two.test", "250 <bert@two.test> is deliverable"},
		{"VRFY nobody@two.test", "250 <nobody@two.test> is deliverable"},
		{"VRFY nobody@three.test", "550 <nobody@three.test> Unrouteable address"},
		{"MAIL FROM:<>", "250 OK"},
		{"RCPT TO:<nobody@one.test>", "250 Accepted"},
		{"RCPT TO:<nobody@three.test>", "550 relay not permitted"},
	})
	send(t, h.Addr(), "nobody@one.test", "for nobody")
	h.WaitMessage(t, "anna@one.test", "for nobody")
	send(t, h.Addr(), "bert@two.test", "for bert")
	h.WaitMessage(t, "bert@two.test", "for bert")
}

func TestEximSuffix(t *testing.T) {
	t.Parallel()
	cfg := verifying()
	cfg.Suffix = "+*"
	h := Exim(t, cfg)
	talk(t, h.Addr(), []exchange{
		{"VRFY anna+x@one.test", "250 <anna+x@one.test> is deliverable"},
		{"VRFY nobody+x@one.test", "550 <nobody+x@one.test> Unrouteable address"},
		{"MAIL FROM:<>", "250 OK"},
		{"RCPT TO:<Anna+X@one.test>", "250 Accepted"},
		{"RCPT TO:<nobody+x@one.test>", "550 Unrouteable address"},
	})
	send(t, h.Addr(), "anna+x@one.test", "hello")
	h.WaitMessage(t, "anna@one.test", "hello")
}

// What an Exim says that cannot look into its own tables.
func TestEximCannotTell(t *testing.T) {
	t.Parallel()
	h := Exim(t, verifying())
	if err := os.Remove(filepath.Join(h.Dir(), "etc", mailboxTable)); err != nil {
		t.Fatal(err)
	}
	talk(t, h.Addr(), []exchange{
		{"VRFY anna@one.test", "451 Cannot resolve <anna@one.test> at this time"},
		{"MAIL FROM:<>", "250 OK"},
		{"RCPT TO:<anna@one.test>", "451 Temporary local problem - please try later"},
	})
}

func TestEximDelivers(t *testing.T) {
	t.Parallel()
	h := Exim(t, verifying())
	for to, box := range map[string]string{
		"Anna@one.test":     "anna@one.test",
		"bert@two.test":     "bert@two.test",
		`"carl c"@one.test`: `"carl c"@one.test`,
		"info@one.test":     "anna@one.test",
	} {
		send(t, h.Addr(), to, "for "+to)
		message := h.WaitMessage(t, box, "for "+to)
		if want := "From: <sender@example.test>\n"; !strings.Contains(message, want) {
			t.Errorf("message without %q:\n%s", want, message)
		}
	}
	if got := len(h.Messages(t, "anna@one.test")); got != 2 {
		t.Errorf("%d messages, want 2", got)
	}
	if match := h.WaitLog(t, ` => bert <bert@two\.test> R=mailboxes T=(\w+)`); match[1] != "maildir" {
		t.Errorf("the log says %q", match)
	}
}

func TestEximMailboxesChange(t *testing.T) {
	t.Parallel()
	h := Exim(t, verifying())
	for range 3 {
		talk(t, h.Addr(), []exchange{{"VRFY dora@one.test", "550 <dora@one.test> Unrouteable address"}})
		h.AddMailbox(t, "Dora@one.test")
		talk(t, h.Addr(), []exchange{{"VRFY dora@one.test", "250 <dora@one.test> is deliverable"}})
		send(t, h.Addr(), "dora@one.test", "hello")
		h.RemoveMailbox(t, "dora@one.test")
	}
}

func TestEximStopsAndStarts(t *testing.T) {
	t.Parallel()
	h := Exim(t, EximConfig{Domains: "one.test", Mailboxes: []string{"anna@one.test"}})
	stopsAndStarts(t, h, "anna@one.test")
	if got, want := strings.Count(h.Log(), " daemon started: "), 3; got != want {
		t.Errorf("the log tells of %d starts, want %d:\n%s", got, want, h.Log())
	}
}

// stopsAndStarts stops and starts the host twice and sends a mail then.
func stopsAndStarts(t *testing.T, h *Host, mailbox string) {
	t.Helper()
	restarts(t, h)
	send(t, h.Addr(), mailbox, "hello")
	h.WaitMessage(t, mailbox, "hello")
}

// restarts stops and starts the host twice.
func restarts(t *testing.T, h *Host) {
	t.Helper()
	addr := h.Addr()
	open := dial(t, addr)
	for range 2 {
		h.Stop(t)
		h.Stop(t) // does nothing
		if err := greeting(addr); err == nil {
			t.Error("a stopped host greets")
		}
		if left := h.remaining(); len(left) > 0 {
			t.Errorf("a stopped host has %v", left)
		}
		h.Start(t)
		if h.Addr() != addr {
			t.Errorf("address %s after the start, was %s", h.Addr(), addr)
		}
	}
	open.hungUp(t)
}

// A configuration that is none is told at once.
func TestEximDoesNotStart(t *testing.T) {
	t.Parallel()
	cfg := verifying()
	cfg.Main = map[string]string{"no_such_option": "1"}
	doesNotStart(t, `main option "no_such_option" unknown`, func(t testing.TB) {
		t.Helper()
		Exim(t, cfg)
	})
}

// doesNotStart fails the test unless start fails it with the text.
func doesNotStart(t *testing.T, text string, start func(testing.TB)) {
	t.Helper()
	said := ending(t, start)
	if strings.HasPrefix(said, "skip: ") {
		t.Skip(said)
	}
	for _, want := range []string{"fatal: ", "the server has ended", text} {
		if !strings.Contains(said, want) {
			t.Errorf("said %q, want %q in it", said, want)
		}
	}
}

func TestManyExims(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			address := fmt.Sprintf("user%d@one.test", i)
			h := Exim(t, EximConfig{Domains: "one.test", Mailboxes: []string{address}})
			talk(t, h.Addr(), []exchange{
				{"MAIL FROM:<>", "250 OK"},
				{"RCPT TO:<" + address + ">", "250 Accepted"},
				{fmt.Sprintf("RCPT TO:<user%d@one.test>", i+1), "550 Unrouteable address"},
			})
			send(t, h.Addr(), address, "hello")
			h.WaitMessage(t, address, "hello")
		})
	}
}
