package realhost

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// asking returns rules by which Sendmail tells, in its reply to RCPT, what a map of
// class socket says of an address. The map's options are given.
func asking(options, port string) string {
	return "LOCAL_CONFIG\n" +
		"Kwho socket " + options + " inet:" + port + "@127.0.0.1\n" +
		"LOCAL_RULE_0\n" +
		"R$+ < @ $+ . >\t$: $(who $1 @ $2 $: nothing $)\n" +
		"R$*\t$#error $@ 4.0.0 $: \"450 \" $1\n"
}

// talkTo has the dialogue after EHLO and MAIL FROM.
func talkTo(t *testing.T, addr string, dialogue []exchange) session {
	t.Helper()
	return talk(t, addr, append([]exchange{{"MAIL FROM:<>", "250 2.1.0 <>... Sender ok"}}, dialogue...))
}

// What Sendmail makes of the replies of a socket map. A key is folded to lower
// case, and its quotes are taken off, unless the map has the options -f and -q.
func TestSendmailAsksASocketMap(t *testing.T) {
	t.Parallel()
	port := socketMap(t, map[string]string{
		"who Anna@one.test":     "OK as it is",
		"who anna@one.test":     "OK folded",
		`who "a b"@one.test`:    "OK quoted",
		"who a b@one.test":      "OK unquoted",
		`who "a\"b"@one.test`:   "OK escaped",
		"who anna+x@one.test":   "OK extended",
		"who later@one.test":    "TEMP why",
		"who timeout@one.test":  "TIMEOUT why",
		"who perm@one.test":     "PERM why",
		"who nonesuch@one.test": "NONESUCH why",
		"who percent@one.test":  `OK "100%% of %0"`,
		"who value@one.test":    `OK "quotes (stay"`,
	})
	for options, dialogue := range map[string][]exchange{
		"-f -q -T<later>": {
			{"RCPT TO:<Anna@ONE.test>", "450 4.0.0 <Anna@ONE.test>... nothing"},
			{"RCPT TO:<Anna@one.test>", "450 4.0.0 <Anna@one.test>... as it is"},
			{`RCPT TO:<"a b"@one.test>`, `450 4.0.0 <"a b"@one.test>... quoted`},
			{`RCPT TO:<"a\"b"@one.test>`, `450 4.0.0 <"a\"b"@one.test>... escaped`},
			{"RCPT TO:<anna+x@one.test>", "450 4.0.0 <anna+x@one.test>... extended"},
			{"RCPT TO:<bert@one.test>", "450 4.0.0 <bert@one.test>... nothing"},
			{"RCPT TO:<later@one.test>", "450 4.0.0 <later@one.test>... later@one.test<later>"},
			{"RCPT TO:<timeout@one.test>", "450 4.0.0 <timeout@one.test>... timeout@one.test<later>"},
			// So these must not be said of a mailbox that may be there.
			{"RCPT TO:<perm@one.test>", "450 4.0.0 <perm@one.test>... nothing"},
			{"RCPT TO:<nonesuch@one.test>", "450 4.0.0 <nonesuch@one.test>... nothing"},
			{"RCPT TO:<percent@one.test>", "450 4.0.0 <percent@one.test>... 100% of percent@one.test"},
			{"RCPT TO:<value@one.test>", "450 4.0.0 <value@one.test>... quotes (stay"},
		},
		"": {
			{"RCPT TO:<Anna@ONE.test>", "450 4.0.0 <Anna@ONE.test>... folded"},
			{`RCPT TO:<"a b"@one.test>`, `450 4.0.0 <"a b"@one.test>... unquoted`},
			{"RCPT TO:<later@one.test>", "450 4.0.0 <later@one.test>... nothing"},
		},
	} {
		f := SendmailConfig{MC: asking(options, port)}.Front(t)
		talkTo(t, f.Addr(), dialogue)
	}
}

// While nobody is there a look-up fails for now, and so it does once if the
// connection was closed meanwhile.
func TestSendmailWhoseSocketMapIsAway(t *testing.T) {
	t.Parallel()
	addr := pickAddr(t, "")
	_, port, _ := net.SplitHostPort(addr)
	rules := strings.Replace(asking("-f -q -T<later>", port), "@127.0.0.1", "@"+strings.TrimSuffix(addr, ":"+port), 1)
	f := SendmailConfig{MC: rules}.Front(t)
	later := exchange{"RCPT TO:<anna@one.test>", "450 4.0.0 <anna@one.test>... anna@one.test<later>"}
	there := exchange{"RCPT TO:<anna@one.test>", "450 4.0.0 <anna@one.test>... there"}
	early := talkTo(t, f.Addr(), []exchange{later})

	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := make(chan string)
	go func() { // one reply a connection
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 100))
			if reply := <-answers; reply != "" {
				_, _ = fmt.Fprintf(conn, "%d:%s,", len(reply), reply)
			}
			_ = conn.Close()
		}
	}()
	answer := func(replies ...string) {
		for _, reply := range replies {
			answers <- reply
		}
	}
	// A session that has found nobody does not look again.
	early.talk(t, []exchange{later})
	go answer("OK there", "OK there", "")
	s := talkTo(t, f.Addr(), []exchange{there, later, there, later})
	// Closed before the reply.
	if got := s.reply(t, "RCPT TO:<anna@one.test>"); got != later.reply {
		t.Errorf("a connection that is closed without a reply: %s, want %s", got, later.reply)
	}
}

// Sendmail waits for a reply as long as the option -d says, 30 s without it.
func TestSendmailWhoseSocketMapIsSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	f := SendmailConfig{MC: asking("-d1s -T<later>", port)}.Front(t)
	begun := time.Now()
	talkTo(t, f.Addr(), []exchange{{"RCPT TO:<anna@one.test>", "451 4.3.0 socket_map_lookup(who): read timeout: Resource temporarily unavailable"}})
	if waited := time.Since(begun); waited < 900*time.Millisecond || waited > 20*time.Second {
		t.Errorf("it waited for %v, want 1 s", waited)
	}
}
