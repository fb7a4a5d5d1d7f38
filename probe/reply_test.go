package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"postwhere/policy"
)

func TestReplyIsReadWhole(t *testing.T) {
	for _, tt := range []struct {
		source, in string
		want       policy.Reply
	}{
		{"Postfix knows it", "252 2.0.0 known@vmbox.test\r\n", policy.Reply{Code: 252, Enhanced: "2.0.0", Text: "known@vmbox.test"}},
		{"Postfix does not", "550 5.1.1 <nobody@vmbox.test>: Recipient address rejected: User unknown in virtual mailbox table\r\n",
			policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "<nobody@vmbox.test>: Recipient address rejected: User unknown in virtual mailbox table"}},
		{"Postfix, RCPT", "250 2.1.5 Ok\r\n", policy.Reply{Code: 250, Enhanced: "2.1.5", Text: "Ok"}},
		{"Exim, no enhanced code", "550 <nobody@vmbox.test> Unrouteable address\r\n", policy.Reply{Code: 550, Text: "<nobody@vmbox.test> Unrouteable address"}},
		{"Exim, RCPT", "250 Accepted\r\n", policy.Reply{Code: 250, Text: "Accepted"}},
		{"Sendmail, two of them", "250-2.1.5 <osvm@sm.test>\r\n250 2.1.5 <known@sm.test>\r\n",
			policy.Reply{Code: 250, Enhanced: "2.1.5", Text: "<osvm@sm.test>\n<known@sm.test>"}},
		{"Exim, many lines without codes", "550-Callback setup failed while verifying <x@d.test>\r\n550-The initial connection timed out.\r\n550 Sender verify failed\r\n",
			policy.Reply{Code: 550, Text: "Callback setup failed while verifying <x@d.test>\nThe initial connection timed out.\nSender verify failed"}},
		{"code on the first line only", "550-5.1.1 User unknown\r\n550 see the postmaster\r\n", policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown\nsee the postmaster"}},
		{"OpenSMTPD", "524 5.2.4 Mailing list expansion problem: <nobody@vdom.test>\r\n", policy.Reply{Code: 524, Enhanced: "5.2.4", Text: "Mailing list expansion problem: <nobody@vdom.test>"}},
		{"qmail", "553 sorry, no mailbox here by that name. (#5.1.1)\r\n", policy.Reply{Code: 553, Enhanced: "5.1.1", Text: "sorry, no mailbox here by that name. (#5.1.1)"}},
		{"qmail, rcpthosts", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1) \r\n",
			policy.Reply{Code: 553, Enhanced: "5.7.1", Text: "sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1) "}},
		{"a code in front beats one at the end", "550 5.7.1 no (#5.1.1)\r\n", policy.Reply{Code: 550, Enhanced: "5.7.1", Text: "no (#5.1.1)"}},
		{"a code in the middle is none", "550 no (#5.1.1) such\r\n", policy.Reply{Code: 550, Text: "no (#5.1.1) such"}},
		{"Exchange", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup\r\n",
			policy.Reply{Code: 550, Enhanced: "5.1.10", Text: "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup"}},
		{"bare code", "550\r\n", policy.Reply{Code: 550}},
		{"bare code and blank", "550 \r\n", policy.Reply{Code: 550}},
		{"bare codes", "250-\r\n250\r\n", policy.Reply{Code: 250, Text: "\n"}},
		{"enhanced code and no text", "250 2.1.5\r\n", policy.Reply{Code: 250, Enhanced: "2.1.5"}},
		{"LF only", "550-5.1.1 a\n550 5.1.1 b\n", policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "a\nb"}},
		{"tab behind the enhanced code", "550 5.1.1\tno\r\n", policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "no"}},
		{"no enhanced code: an address", "550 5.1.1@d.test is unknown\r\n", policy.Reply{Code: 550, Text: "5.1.1@d.test is unknown"}},
		{"no enhanced code: a version", "250 5.1.1.2 x\r\n", policy.Reply{Code: 250, Text: "5.1.1.2 x"}},
		{"no enhanced code: class 3", "250 3.1.1 x\r\n", policy.Reply{Code: 250, Text: "3.1.1 x"}},
		{"no enhanced code: four digits", "550 5.1.1000 x\r\n", policy.Reply{Code: 550, Text: "5.1.1000 x"}},
		{"Latin-1", "550 unbekannter Empf\xe4nger\r\n", policy.Reply{Code: 550, Text: "unbekannter Empf?nger"}},
		{"UTF-8", "550 unbekannter Empfänger\r\n", policy.Reply{Code: 550, Text: "unbekannter Empfänger"}},
		{"escape sequence", "550 \x1b[31mred\x7f\u0085\u2028\r\n", policy.Reply{Code: 550, Text: "?[31mred???"}},
		{"CR inside", "550 5.1.1 a\rb\r\r\n", policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "a?b?"}},
		{"longest line", "550 " + strings.Repeat("x", maxReplyLine-6) + "\r\n", policy.Reply{Code: 550, Text: strings.Repeat("x", maxReplyLine-6)}},
		{"most lines", strings.Repeat("550-\n", maxReplyLines-1) + "550 x\n", policy.Reply{Code: 550, Text: strings.Repeat("\n", maxReplyLines-1) + "x"}},
	} {
		t.Run(tt.source, func(t *testing.T) {
			in := bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(tt.in+"250 next\r\n")), 4096)
			got, err := readReply(in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if rest, _ := io.ReadAll(in); string(rest) != "250 next\r\n" {
				t.Errorf("left unread: %q", rest)
			}
		})
	}
}

func TestWhatIsNoReplyIsAnError(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"codes disagree", "250-2.1.5 ok\r\n550 5.1.1 no\r\n"},
		{"250- and then 251", "250-2.1.5 ok\r\n251 2.1.5 User not local; will forward\r\n"},
		{"250- and then 252", "250-2.1.5 ok\r\n252 2.1.5 ok\r\n"},
		{"codes of one class disagree", "550-5.1.1 no\r\n551 5.1.1 no\r\n"},
		{"enhanced codes disagree", "550-5.7.1 blocked\r\n550 5.1.1 no\r\n"},
		{"enhanced code on the last line only", "550-blocked\r\n550 5.1.1 no\r\n"},
		{"a line of 100 kB", "550 5.1.1 " + strings.Repeat("x", 100_000) + "\r\n"},
		{"a line that is a little too long", "550 5.1.1 " + strings.Repeat("x", maxReplyLine) + "\r\n"},
		{"a line without end", "550 5.1.1 " + strings.Repeat("x", 1<<20)},
		{"1000 lines", strings.Repeat("550-5.1.1 no\r\n", 1000) + "550 5.1.1 no\r\n"},
		{"one line too many", strings.Repeat("550-\r\n", maxReplyLines) + "550 no\r\n"},
		{"garbage", "\x80\x02\x01\x03garbage\r\n"},
		{"HTTP", "HTTP/1.0 550 5.1.1\r\n"},
		{"empty line", "\r\n"},
		{"NUL in the code", "55\x000 5.1.1 no\r\n"},
		{"NUL behind the code", "550\x005.1.1 no\r\n"},
		{"NUL in the text", "550 5.1.1 no\x00\r\n"},
		{"preliminary", "150 5.1.1 no\r\n"},
		{"6xx", "650 5.1.1 no\r\n"},
		{"last digit", "55: no\r\n"},
		{"two digits", "55 no\r\n"},
		{"four digits", "5500 no\r\n"},
		{"letter behind the code", "250x\r\n"},
		{"plus behind the code", "550+5.1.1 no\r\n"},
		{"tab behind the code", "550\t5.1.1 no\r\n"},
		{"other digits", "５５０ 5.1.1 no\r\n"},
		{"blank in front", " 550 5.1.1 no\r\n"},
		{"garbage between lines", "550-5.1.1 no\r\nnoise\r\n550 5.1.1 no\r\n"},
		{"nothing", ""},
		{"half a code", "55"},
		{"half a line", "550 5.1.1 n"},
		{"all but the LF", "550 5.1.1 no\r"},
		{"half of the lines", "550-5.1.1 no\r\n"},
		{"half of the second line", "550-5.1.1 no\r\n550 5.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readReply(bufio.NewReader(strings.NewReader(tt.in)))
			if err == nil {
				t.Fatalf("read as %v", got)
			}
			if got != (policy.Reply{}) {
				t.Errorf("an error, and %v", got)
			}
			if !errors.Is(err, errReply) && !isEnd(err) {
				t.Errorf("error of a third kind: %v", err)
			}
			if len(err.Error()) > 3*maxReplyLine || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("not fit for a log: %.300q", err)
			}
		})
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{
		"250 2.1.5 Ok\r\n", "550-5.1.1 a\r\n550 5.1.1 b\r\n", "553 sorry (#5.1.1)\r\n", "250-\n250\n", "550\t5.1.1\r\n",
		"252 2.0.0 a@b\r\n250 next\r\n", "550 5.1.1 \xff\x00\u2028\r\n", "250-2.1.5 ok\r\n550 5.1.1 no\r\n", "421 4.4.2 timeout\r\n", "55",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bufio.NewReader(strings.NewReader(string(in)))
		got, err := readReply(r)
		if err != nil {
			if got != (policy.Reply{}) {
				t.Fatalf("an error, and %v", got)
			}
			return
		}
		rest, _ := io.ReadAll(r)
		read := strings.TrimSuffix(string(in), string(rest))
		last := read[strings.LastIndexByte(strings.TrimSuffix(read, "\n"), '\n')+1:]
		lines := strings.Count(read, "\n")
		switch {
		case !strings.HasSuffix(read, "\n"), lines < 1, lines > maxReplyLines, len(last) > 4 && last[3] == '-':
			t.Fatalf("not one reply: %q", read)
		case got.Code < 200 || got.Code > 599 || !strings.HasPrefix(last, fmt.Sprint(got.Code)):
			t.Fatalf("code %d of %q", got.Code, read)
		case strings.Count(got.Text, "\n") != lines-1:
			t.Fatalf("%d lines read as %q", lines, got.Text)
		case !utf8.ValidString(got.Text), strings.ContainsFunc(got.Text, func(c rune) bool { return c != '\n' && unicode.IsControl(c) }):
			t.Fatalf("not printable: %q", got.Text)
		}
		if strings.HasPrefix(got.Text, " ") || strings.Contains(got.Text, "\n ") {
			return // blanks are lost behind an enhanced code only
		}
		again, err := readReply(bufio.NewReader(strings.NewReader(encode(got))))
		if err != nil || again != got {
			t.Fatalf("%q is read as %#v, which written is read as %#v, %v", read, got, again, err)
		}
	})
}

// encode writes a reply as a host would.
func encode(r policy.Reply) string {
	var b strings.Builder
	lines := strings.Split(r.Text, "\n")
	enhanced := r.Enhanced
	if strings.HasSuffix(strings.TrimSpace(r.Text), "(#"+enhanced+")") {
		enhanced = "" // it is in the text
	}
	for i, line := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		if enhanced != "" {
			line = enhanced + " " + line
		}
		fmt.Fprintf(&b, "%d%s%s\r\n", r.Code, separator, line)
	}
	return b.String()
}
