package socketmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"postwhere/policy/server"
	"postwhere/policy/server/servertest"
	"postwhere/policy/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// maps are the maps of the tests' searcher.
func maps() *table.Maps {
	s := new(servertest.Searcher)
	return &table.Maps{Searcher: s, Ours: s.Ours, Log: slog.New(slog.DiscardHandler)}
}

func TestDialogue(t *testing.T) {
	for name, row := range map[string]struct{ sent, want string }{
		"found":            {"26:transport anna@example.com,", "22:OK smtp:[192.0.2.1]:25,"},
		"rejected":         {"28:transport nobody@example.com,", "27:OK error:5.1.1 User unknown,"},
		"deferred":         {"27:transport later@example.com,", "24:OK retry:4.4.1 Try again,"},
		"not ours":         {netstring("transport x@elsewhere.example"), "9:NOTFOUND ,"},
		"host":             {netstring("recipient anna@example.com"), "8:OK mail1,"},
		"no mailbox":       {netstring("recipient nobody@example.com"), "9:NOTFOUND ,"},
		"mailbox unknown":  {netstring("recipient later@example.com"), "20:TEMP 4.4.1 Try again,"},
		"alias":            {netstring("alias anna@example.com"), "21:OK anna@mail1.invalid,"},
		"domain":           {netstring("domain example.com"), "14:OK example.com,"},
		"other domain":     {netstring("domain elsewhere.example"), "9:NOTFOUND ,"},
		"Sendmail":         {netstring("sendmail anna@example.com"), "20:OK esmtp:[192.0.2.1],"},
		"Sendmail, no":     {netstring("sendmail nobody@example.com"), `33:OK error:5.1.1:"550 User unknown",`},
		"Sendmail, later":  {netstring("sendmail later@example.com"), `30:OK error:4.4.1:"450 Try again",`},
		"at its door":      {netstring("sendmail_door nobody@example.com"), "23:TEMP 5.1.1 User unknown,"},
		"own fault":        {netstring("transport fault@example.com"), "19:TEMP internal error,"},
		"asterisk":         {netstring("transport *"), "9:NOTFOUND ,"},
		"empty key":        {netstring("transport "), "9:NOTFOUND ,"},
		"blanks in a key":  {netstring(`alias "a  b"@example.com`), `23:OK "a  b"@mail1.invalid,`},
		"comma in a key":   {netstring(`alias "a,b"@example.com`), `22:OK "a,b"@mail1.invalid,`},
		"UTF-8":            {netstring("alias ünna@example.com"), "22:OK ünna@mail1.invalid,"},
		"newline in a key": {netstring("transport a\nb@elsewhere.example"), "9:NOTFOUND ,"},
		"longest key":      {netstring("transport " + strings.Repeat("x", maxKey)), "9:NOTFOUND ,"},
		"pipelined": {
			netstring("domain example.com") + netstring("transport *") + netstring("recipient anna@example.com"),
			"14:OK example.com,9:NOTFOUND ,8:OK mail1,",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if read, err := servertest.Talk(Exchange(maps()), row.sent); read != row.want || err != nil {
				t.Errorf("read %q, %v, want %q", read, err, row.want)
			}
		})
	}
}

func TestUnknownMap(t *testing.T) {
	for _, name := range []string{"route", "", "TRANSPORT", strings.Repeat("x", maxRequest-2)} {
		read, err := servertest.Talk(Exchange(maps()), netstring(name+" a")+netstring("domain example.com"))
		if !strings.Contains(read, ":TEMP unknown map") || !strings.HasSuffix(read, ",14:OK example.com,") || err != nil {
			t.Errorf("%.20q: read %q, %v", name, read, err)
		}
	}
}

func TestViolations(t *testing.T) {
	for name, sent := range map[string]string{
		"no length":          ":transport a@example.com,",
		"no digit":           "x",
		"sign":               "-1:x,",
		"plus":               "+1:x,",
		"blank":              " 1:x,",
		"line":               "get anna@example.com\n",
		"HTTP":               "GET / HTTP/1.1\r\n\r\n",
		"leading zero":       "05:a b c,",
		"two zeros":          "00:,",
		"no comma":           "5:a b c;",
		"shorter than said":  "20:a b c,5:a b c,xxxxxxxxx",
		"longer than said":   "3:a b c,",
		"newline after":      "5:a b c\n",
		"too long":           fmt.Sprint(maxRequest+1) + ":",
		"much too long":      "2147483648:",
		"beyond all numbers": "99999999999999999999999999999999:",
		"endless length":     strings.Repeat("1", 1<<20),
		"no blank":           "9:transport,",
		"empty":              "0:,",
	} {
		t.Run(name, func(t *testing.T) {
			read, err := servertest.Talk(Exchange(maps()), sent)
			if read != "" || !errors.Is(err, server.ErrMalformed) {
				t.Errorf("read %q, %v, want malformed", read, err)
			}
			if err != nil && len(err.Error()) > 300 {
				t.Errorf("the reason has %d octets", len(err.Error()))
			}
		})
	}
}

func TestBrokenOff(t *testing.T) {
	whole := netstring("recipient anna@example.com")
	for n := 1; n < len(whole); n++ {
		read, err := servertest.Talk(Exchange(maps()), whole[:n])
		if read != "" || err == nil || errors.Is(err, server.ErrMalformed) {
			t.Fatalf("after %d octets: read %q, %v", n, read, err)
		}
	}
}

type mapsFunc func(table.Query) (table.Result, error)

func (f mapsFunc) Lookup(_ context.Context, q table.Query) (table.Result, error) { return f(q) }

func TestReplyLimit(t *testing.T) {
	for size, want := range map[int]string{
		maxReply - 3: netstring("OK " + strings.Repeat("x", maxReply-3)),
		maxReply - 2: netstring("TEMP reply too long"),
	} {
		long := mapsFunc(func(table.Query) (table.Result, error) {
			return table.Result{Status: table.Found, Text: strings.Repeat("x", size)}, nil
		})
		if read, err := servertest.Talk(Exchange(long), netstring("transport a")); read != want || err != nil {
			t.Errorf("%d octets: read %.40q… of %d octets, %v", size, read, len(read), err)
		}
	}
}

func BenchmarkExchange(b *testing.B) {
	found := mapsFunc(func(table.Query) (table.Result, error) {
		return table.Result{Status: table.Found, Text: "smtp:[192.0.2.1]:25"}, nil
	})
	for _, network := range []string{"tcp", "unix"} {
		b.Run(network, func(b *testing.B) {
			servertest.Bench(b, network, Exchange(found), netstring("transport anna@example.com"), "22:OK smtp:[192.0.2.1]:25,")
		})
	}
}
