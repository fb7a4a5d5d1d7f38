package realhost

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func sendmailConfig() SendmailConfig {
	return SendmailConfig{
		Domains:   "one.test two.test",
		Mailboxes: []string{"Anna@one.test", "bert@two.test", `"carl c"@one.test`},
		Aliases: map[string]string{
			"Info@one.test": "anna@one.test",
			"all@two.test":  "anna@one.test, bert@two.test",
			"lost@one.test": "nobody@one.test",
		},
		Virtual: map[string]string{
			"gone@one.test": "error:nouser 550 No such user here",
			"away@one.test": "error:5.1.6:551 Not here any more",
		},
		Define: map[string]string{"confDOMAIN_NAME": "sm.test"},
	}
}

const sendmailCannot = "252 2.5.2 Cannot VRFY user; try RCPT to attempt delivery (or try finger)"

func TestSendmailVerifies(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, sendmailConfig())
	// It does not offer VRFY, and still answers.
	if got := dial(t, h.Addr()).reply(t, "EHLO client.test"); !strings.Contains(got, "\nPIPELINING\n") || strings.Contains(got, "VRFY") {
		t.Errorf("EHLO: %q", got)
	}
	dialogue := []exchange{
		{"VRFY anna@one.test", "250 2.1.5 <anna_40one.test@sm.test>"},
		{"VRFY <Anna@ONE.test>", "250 2.1.5 <anna_40one.test@sm.test>"},
		{"VRFY bert@two.test", "250 2.1.5 <bert_40two.test@sm.test>"},
		{`VRFY "carl c"@one.test`, "250 2.1.5 <_22carl_c_22_40one.test@sm.test>"},
		{`VRFY <"carl c"@one.test>`, "250 2.1.5 <_22carl_c_22_40one.test@sm.test>"},
		{`VRFY <"anna"@one.test>`, "250 2.1.5 <anna_40one.test@sm.test>"},
		{"VRFY anna+x@one.test", "250 2.1.5 <anna_40one.test@sm.test>"},
		{"VRFY info@one.test", "250 2.1.5 <info_40one.test@sm.test>"},
		{"VRFY all@two.test", "250 2.1.5 <all_40two.test@sm.test>"},
		{"VRFY lost@one.test", "250 2.1.5 <lost_40one.test@sm.test>"},
		{"VRFY nobody@one.test", "550 5.1.1 nobody@one.test... User unknown"},
		{"VRFY root@one.test", "550 5.1.1 root@one.test... User unknown"},
		{"VRFY nobody+x@one.test", "550 5.1.1 nobody+x@one.test... User unknown"},
		{"VRFY anna@two.test", "550 5.1.1 anna@two.test... User unknown"},
		{`VRFY "carl d"@one.test`, `550 5.1.1 "carl d"@one.test... User unknown`},
		{"VRFY gone@one.test", "550 5.0.0 gone@one.test... No such user here"},
		{"VRFY away@one.test", "551 5.1.6 Not here any more"},
		{"VRFY anna@three.test", "252 2.1.5 <anna@three.test>"},
		{"VRFY anna", "550 5.1.1 anna... User unknown"},
		{"VRFY anna@one.test bert@two.test", "250 2.1.5 <bert_40two.test@sm.test>\n2.1.5 <anna_40one.test@sm.test>"},
		{"VRFY", "501 5.5.2 Argument required"},
	}
	for five := range slices.Chunk(dialogue, 5) { // it waits before the sixth
		talk(t, h.Addr(), five)
	}
	s := dial(t, h.Addr())
	if got, want := s.reply(t, "VRFY anna@one.test"), "503 5.0.0 I demand that you introduce yourself first"; got != want {
		t.Errorf("VRFY without EHLO: %s, want %s", got, want)
	}
	if got, want := s.reply(t, "MAIL FROM:<>"), "503 5.0.0 Polite people say HELO first"; got != want {
		t.Errorf("MAIL without EHLO: %s, want %s", got, want)
	}
}

var sendmailRecipients = []exchange{
	{"MAIL FROM:<>", "250 2.1.0 <>... Sender ok"},
	{"RCPT TO:<anna@one.test>", "250 2.1.5 <anna@one.test>... Recipient ok"},
	// The same mailbox once more: the reply has the address that it was first
	// asked by.
	{"RCPT TO:<Anna@ONE.test>", "250 2.1.5 <anna@one.test>... Recipient ok"},
	{"RCPT TO:<anna+x@one.test>", "250 2.1.5 <anna@one.test>... Recipient ok"},
	{`RCPT TO:<"carl c"@one.test>`, `250 2.1.5 <"carl c"@one.test>... Recipient ok`},
	{"RCPT TO:<info@one.test>", "250 2.1.5 <info@one.test>... Recipient ok"},
	{"RCPT TO:<all@two.test>", "250 2.1.5 <all@two.test>... Recipient ok"},
	{"RCPT TO:<lost@one.test>", "250 2.1.5 <lost@one.test>... Recipient ok"},
	{"RCPT TO:<nobody@one.test>", "550 5.1.1 <nobody@one.test>... User unknown"},
	{"RCPT TO:<anna@two.test>", "550 5.1.1 <anna@two.test>... User unknown"},
	{`RCPT TO:<"carl d"@one.test>`, `550 5.1.1 <"carl d"@one.test>... User unknown`},
	{"RCPT TO:<gone@one.test>", "550 5.0.0 <gone@one.test>... No such user here"},
	{"RCPT TO:<away@one.test>", "551 5.1.6 Not here any more"},
	{"RCPT TO:<anna@three.test>", "250 2.1.5 <anna@three.test>... Recipient ok"},
	{"RCPT TO:<bert@two.test>", "250 2.1.5 <bert@two.test>... Recipient ok"},
}

func TestSendmailRecipients(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, sendmailConfig())
	talk(t, h.Addr(), sendmailRecipients)
}

func TestSendmailTellsNothing(t *testing.T) {
	t.Parallel()
	for _, privacy := range []string{"novrfy", "goaway"} {
		t.Run(privacy, func(t *testing.T) {
			t.Parallel()
			cfg := sendmailConfig()
			cfg.Define["confPRIVACY_FLAGS"] = privacy
			h := Sendmail(t, cfg)
			talk(t, h.Addr(), append([]exchange{
				{"VRFY anna@one.test", sendmailCannot},
				{"VRFY nobody@one.test", sendmailCannot},
				{"VRFY gone@one.test", sendmailCannot},
				{"VRFY anna@three.test", sendmailCannot},
			}, sendmailRecipients...))
		})
	}
}

// It waits before the sixth VRFY, whatever the answers are.
func TestSendmailWaits(t *testing.T) {
	t.Parallel()
	for address, reply := range map[string]string{
		"anna@one.test":   "250 2.1.5 <anna_40one.test@sm.test>",
		"nobody@one.test": "550 5.1.1 nobody@one.test... User unknown",
	} {
		t.Run(address, func(t *testing.T) {
			t.Parallel()
			h := Sendmail(t, sendmailConfig())
			s := talk(t, h.Addr(), slices.Repeat([]exchange{{"VRFY " + address, reply}}, 5))
			asked := time.Now()
			if got := s.reply(t, "VRFY "+address); got != reply {
				t.Errorf("the sixth VRFY: %s, want %s", got, reply)
			}
			if waited := time.Since(asked); waited < 900*time.Millisecond {
				t.Errorf("it has waited for %v, want 1 s", waited)
			}
			h.WaitLog(t, "possible SMTP attack: command=VRFY, count=6")
		})
	}
}

func TestSendmailDelivers(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, sendmailConfig())
	for to, boxes := range map[string][]string{
		"Anna@one.test":     {"anna@one.test"},
		`"carl c"@one.test`: {`"carl c"@one.test`},
		"info@one.test":     {"anna@one.test"},
		"all@two.test":      {"anna@one.test", "bert@two.test"},
	} {
		send(t, h.Addr(), to, "for "+to)
		for _, box := range boxes {
			message := h.WaitMessage(t, box, "for "+to)
			if want := "From: <sender@example.test>\n"; !strings.Contains(message, want) {
				t.Errorf("message without %q:\n%s", want, message)
			}
			if !strings.HasPrefix(message, "Received: ") || !strings.HasSuffix(message, "\n\nfor "+to+"\n") {
				t.Errorf("message %q", message)
			}
		}
	}
	if got := len(h.Messages(t, "anna@one.test")); got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
	if match := h.WaitLog(t, `: to=.*bert%40two\.test.*, stat=(\w+)`); match[1] != "Sent" {
		t.Errorf("the log says %q", match)
	}
}

// Mail for another machine stays here.
func TestSendmailLetsNothingOut(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, SendmailConfig{})
	send(t, h.Addr(), "someone@[192.0.2.1]", "hello")
	match := h.WaitLog(t, `to=<someone@\[192\.0\.2\.1\]>, .* stat=(.*)`)
	if match[1] != "Deferred: Invalid argument" {
		t.Errorf("mail to another machine: %q", match[0])
	}
	send(t, h.Addr(), "someone@three.test", "hello")
	match = h.WaitLog(t, `to=<someone@three\.test>, .* stat=(.*)`)
	if !strings.HasPrefix(match[1], "Host unknown") {
		t.Errorf("mail to a host of which only the DNS could know: %q", match[0])
	}
}

func TestSendmailMailboxesChange(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, sendmailConfig())
	for range 3 {
		for address, account := range map[string]string{
			"dora@one.test":     "dora_40one.test",
			`"emil e"@two.test`: "_22emil_e_22_40two.test",
		} {
			unknown := exchange{"VRFY " + address, "550 5.1.1 " + address + "... User unknown"}
			talk(t, h.Addr(), []exchange{unknown})
			h.AddMailbox(t, address)
			talk(t, h.Addr(), []exchange{{"VRFY " + address, "250 2.1.5 <" + account + "@sm.test>"}})
			send(t, h.Addr(), address, "hello")
			h.WaitMessage(t, address, "hello")
			h.RemoveMailbox(t, address)
			talk(t, h.Addr(), []exchange{unknown})
		}
	}
}

func TestSendmailStopsAndStarts(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, sendmailConfig())
	stopsAndStarts(t, h, "anna@one.test")
	if got, want := strings.Count(h.Log(), "starting daemon "), 3; got != want {
		t.Errorf("the log tells of %d starts, want %d:\n%s", got, want, h.Log())
	}
}

// A session that waits before a reply does not hold up Stop.
func TestSendmailStopsAtOnce(t *testing.T) {
	t.Parallel()
	h := Sendmail(t, sendmailConfig())
	s := talk(t, h.Addr(), slices.Repeat([]exchange{{"VRFY nobody@one.test", "550 5.1.1 nobody@one.test... User unknown"}}, 5))
	if err := s.PrintfLine("VRFY nobody@one.test"); err != nil {
		t.Fatal(err)
	}
	h.WaitLog(t, "count=6")
	h.Stop(t)
	if left := h.remaining(); len(left) > 0 {
		t.Errorf("a stopped host has %v", left)
	}
}

func TestSendmailDoesNotStart(t *testing.T) {
	t.Parallel()
	cfg := sendmailConfig()
	cfg.MC = "LOCAL_CONFIG\nno such thing"
	doesNotStart(t, `unknown configuration line "no such thing"`, func(t testing.TB) {
		t.Helper()
		Sendmail(t, cfg)
	})
}

// What a Sendmail says whose milter is not there: the 550 is not about anybody.
func TestSendmailFilter(t *testing.T) {
	t.Parallel()
	cfg := sendmailConfig()
	cfg.MC = "INPUT_MAIL_FILTER(`none', `S=unix:/none, F=T')"
	h := Sendmail(t, cfg)
	talk(t, h.Addr(), []exchange{
		{"VRFY anna@one.test", "550 5.7.1 Please try again later"},
		{"MAIL FROM:<>", "451 4.3.2 Please try again later"},
	})
	h.WaitLog(t, `Milter \(none\): to error state`)
}

// A map that asks the test, and rules that ask the map.
func TestSendmailRules(t *testing.T) {
	t.Parallel()
	port := socketMap(t, map[string]string{
		"who <anna@three.test>": "OK somebody",
		"who <bert@three.test>": "TEMP at lunch",
	})
	cfg := sendmailConfig()
	cfg.MC = "LOCAL_CONFIG\n" +
		"Kwho socket -T<TMPF> inet:" + port + "@127.0.0.1\n" +
		"LOCAL_RULESETS\n" +
		"SLocal_check_rcpt\n" +
		"R$*\t$: $(who $1 $: nobody $)\n" +
		"Rsomebody\t$@ OK\n" +
		"R$*<TMPF>\t$#error $@ 4.4.1 $: \"450 ask again\"\n" +
		"R$*\t$#error $@ 5.1.1 $: \"550 not known\"\n"
	talk(t, Sendmail(t, cfg).Addr(), []exchange{
		{"MAIL FROM:<>", "250 2.1.0 <>... Sender ok"},
		{"RCPT TO:<anna@three.test>", "250 2.1.5 <anna@three.test>... Recipient ok"},
		{"RCPT TO:<bert@three.test>", "450 4.4.1 <bert@three.test>... ask again"},
		{"RCPT TO:<carl@three.test>", "550 5.1.1 <carl@three.test>... not known"},
	})
}

// socketMap answers the questions of a socket map on 127.0.0.1 until the test
// ends, those it does not have by NOTFOUND, and returns its port.
func socketMap(t *testing.T, replies map[string]string) (port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var sessions sync.WaitGroup
	serve := func(conn net.Conn) {
		defer conn.Close()
		r := bufio.NewReader(conn)
		for {
			var n int
			if _, err := fmt.Fscanf(r, "%d:", &n); err != nil {
				return
			}
			question := make([]byte, n+1)
			if _, err := io.ReadFull(r, question); err != nil {
				return
			}
			reply, ok := replies[string(question[:n])]
			if !ok {
				reply = "NOTFOUND "
			}
			if _, err := fmt.Fprintf(conn, "%d:%s,", len(reply), reply); err != nil {
				return
			}
		}
	}
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		sessions.Wait() // end with the server, which is stopped by now
	})
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port
}

func TestManySendmails(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			address := fmt.Sprintf("user%d@one.test", i)
			stranger := fmt.Sprintf("user%d@one.test", i+1)
			h := Sendmail(t, SendmailConfig{Domains: "one.test", Mailboxes: []string{address}})
			talk(t, h.Addr(), []exchange{
				{"MAIL FROM:<>", "250 2.1.0 <>... Sender ok"},
				{"RCPT TO:<" + address + ">", "250 2.1.5 <" + address + ">... Recipient ok"},
				{"RCPT TO:<" + stranger + ">", "550 5.1.1 <" + stranger + ">... User unknown"},
			})
			send(t, h.Addr(), address, "hello")
			h.WaitMessage(t, address, "hello")
		})
	}
}

func TestUnquote(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"anna@one.test":      "anna@one.test",
		`"carl c"@one.test`:  "carl c@one.test",
		`"a@b"@one.test`:     "a@b@one.test",
		`"a\"b\\c"@one.test`: `a"b\c@one.test`,
		`""@one.test`:        "@one.test",
		`"@one.test`:         `"@one.test`,
		"@one.test":          "@one.test",
		"anna":               "anna",
		"":                   "",
		`"anna"b@one.test`:   `"anna"b@one.test`,
	} {
		if got := unquote(address); got != want {
			t.Errorf("unquote(%s) = %s, want %s", address, got, want)
		}
	}
}
