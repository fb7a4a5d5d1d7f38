package tcptable

import (
	"bufio"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"postwhere/policy/server"
	"postwhere/policy/server/servertest"
	"postwhere/policy/table"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exchange serves a map of the tests' searcher.
func exchange(t *testing.T, name string) server.Exchange {
	t.Helper()
	s := new(servertest.Searcher)
	e, err := Exchange(&table.Maps{Searcher: s, Ours: s.Ours, Log: slog.New(slog.DiscardHandler)}, name)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestDialogue(t *testing.T) {
	const notFound = "500 not%20found\n"
	for name, row := range map[string]struct{ table, sent, want string }{
		"found":           {"transport", "get anna@example.com\n", "200 smtp:[192.0.2.1]:25\n"},
		"rejected":        {"transport", "get nobody@example.com\n", "200 error:5.1.1%20User%20unknown\n"},
		"deferred":        {"transport", "get later@example.com\n", "200 retry:4.4.1%20Try%20again\n"},
		"not ours":        {"transport", "get x@elsewhere.example\n", notFound},
		"host":            {"recipient", "get anna@example.com\n", "200 mail1\n"},
		"no mailbox":      {"recipient", "get nobody@example.com\n", notFound},
		"mailbox unknown": {"recipient", "get later@example.com\n", "400 4.4.1%20Try%20again\n"},
		"alias":           {"alias", "get anna@example.com\n", "200 anna@mail1.invalid\n"},
		"domain":          {"domain", "get example.com\n", "200 example.com\n"},
		"own fault":       {"transport", "get fault@example.com\n", "400 internal%20error\n"},
		"asterisk":        {"transport", "get *\n", notFound},
		"empty key":       {"transport", "get \n", notFound},
		"blank":           {"alias", "get %22a%20b%22@example.com\n", "200 \"a%20b\"@mail1.invalid\n"},
		"percent":         {"alias", "get 100%25@example.com\n", "200 100%25@mail1.invalid\n"},
		"UTF-8":           {"alias", "get %C3%BCnna@example.com\n", "200 %C3%BCnna@mail1.invalid\n"},
		"UTF-8, plain":    {"alias", "get ünna@example.com\n", "200 %C3%BCnna@mail1.invalid\n"},
		"any case":        {"alias", "get %c3%Bcnna@example.com\n", "200 %C3%BCnna@mail1.invalid\n"},
		"newline":         {"alias", "get a%0Ab@elsewhere.example\n", notFound},
		"CRLF":            {"transport", "get anna@example.com\r\n", "200 smtp:[192.0.2.1]:25\n"},
		"put":             {"transport", "put anna@example.com smtp:\n", "500 put%20is%20not%20implemented\n"},
		"longest key":     {"transport", "get " + strings.Repeat("%20", maxKey) + "\n", notFound},
		"pipelined":       {"domain", "get example.com\nget *\nget example.com\n", "200 example.com\n" + notFound + "200 example.com\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if read, err := servertest.Talk(exchange(t, row.table), row.sent); read != row.want || err != nil {
				t.Errorf("read %q, %v, want %q", read, err, row.want)
			}
		})
	}
}

func TestViolations(t *testing.T) {
	for name, sent := range map[string]string{
		"empty line":        "\n",
		"no parameter":      "get\n",
		"upper case":        "GET anna@example.com\n",
		"other command":     "delete anna@example.com\n",
		"netstring":         "26:transport anna@example.com,\n",
		"HTTP":              "GET / HTTP/1.1\r\n\r\n",
		"two parameters":    "get anna@example.com x\n",
		"two blanks":        "get  anna@example.com\n",
		"blank at the end":  "get anna@example.com \n",
		"tab":               "get\tanna@example.com\n",
		"NUL":               "get anna\x00@example.com\n",
		"CR":                "get anna\r@example.com\n",
		"lone %":            "get anna%\n",
		"one digit":         "get anna%2\n",
		"no digits":         "get anna%zz@example.com\n",
		"line too long":     "get " + strings.Repeat("x", maxLine-len("get ")+1) + "\n",
		"line without end":  strings.Repeat("x", 1<<20),
		"NUL in a key, put": "get %00%\n",
	} {
		t.Run(name, func(t *testing.T) {
			read, err := servertest.Talk(exchange(t, "transport"), sent)
			if read != "" || !errors.Is(err, server.ErrMalformed) {
				t.Errorf("read %q, %v, want malformed", read, err)
			}
			if err != nil && len(err.Error()) > 500 {
				t.Errorf("the reason has %d octets", len(err.Error()))
			}
		})
	}
}

func TestBrokenOff(t *testing.T) {
	const whole = "get anna@example.com\n"
	for n := 1; n < len(whole); n++ {
		read, err := servertest.Talk(exchange(t, "transport"), whole[:n])
		if read != "" || err == nil || errors.Is(err, server.ErrMalformed) {
			t.Fatalf("after %d octets: read %q, %v", n, read, err)
		}
	}
}

func TestUnknownMap(t *testing.T) {
	for _, name := range []string{"", "route", "Transport"} {
		if e, err := Exchange(&table.Maps{}, name); e != nil || !errors.Is(err, table.ErrUnknownMap) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

type mapsFunc func(table.Query) (table.Result, error)

func (f mapsFunc) Lookup(_ context.Context, q table.Query) (table.Result, error) { return f(q) }

func TestQuery(t *testing.T) {
	e, err := Exchange(mapsFunc(func(q table.Query) (table.Result, error) {
		if want := (table.Query{Face: "tcp", Map: "alias", Key: "A b"}); q != want {
			t.Errorf("asked %+v, want %+v", q, want)
		}
		return table.Result{}, table.ErrUnknownMap
	}), "alias")
	if err != nil {
		t.Fatal(err)
	}
	if read, err := servertest.Talk(e, "get A%20b\n"); read != "" || !errors.Is(err, table.ErrUnknownMap) {
		t.Errorf("read %q, %v", read, err)
	}
}

func TestReplyLimit(t *testing.T) {
	most := maxReply - len("200 \n")
	for size, want := range map[int]string{
		most:     "200 " + strings.Repeat("x", most) + "\n",
		most + 1: "400 reply%20too%20long\n",
	} {
		long, err := Exchange(mapsFunc(func(table.Query) (table.Result, error) {
			return table.Result{Status: table.Found, Text: strings.Repeat("x", size)}, nil
		}), "transport")
		if err != nil {
			t.Fatal(err)
		}
		if read, err := servertest.Talk(long, "get a\n"); read != want || err != nil {
			t.Errorf("%d octets: read %.40q… of %d octets, %v", size, read, len(read), err)
		}
	}
}

func FuzzExchange(f *testing.F) {
	for _, s := range []string{"get anna@example.com\n", "get %C3%bc\r\n", "put a b\n", "get %\n", "get a b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		key, asked := "", false
		e, err := Exchange(mapsFunc(func(q table.Query) (table.Result, error) {
			key, asked = q.Key, true
			return table.Result{Status: table.Found, Text: q.Key + "x"}, nil
		}), "transport")
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(string(in), "\n")
		read, err := servertest.Talk(e, line+"\n")
		switch {
		case err != nil:
			if read != "" || asked || !errors.Is(err, server.ErrMalformed) {
				t.Errorf("read %q, %v", read, err)
			}
			return
		case strings.Count(read, "\n") != 1 || read[len(read)-1] != '\n' || len(read) > maxReply:
			t.Errorf("read %q", read)
		case !asked && !strings.HasPrefix(read, "500 ") || asked && !strings.HasPrefix(read, "200 ") && len(quote(key)) < maxReply-10:
			t.Errorf("read %q", read)
		}
		if strings.HasPrefix(read, "200 ") {
			text, err := unquote([]byte(read[4 : len(read)-1]))
			if err != nil || text != key+"x" {
				t.Errorf("%q became %q, %v", key, text, err)
			}
		}
	})
}

func BenchmarkExchange(b *testing.B) {
	found, err := Exchange(mapsFunc(func(table.Query) (table.Result, error) {
		return table.Result{Status: table.Found, Text: "smtp:[192.0.2.1]:25"}, nil
	}), "transport")
	if err != nil {
		b.Fatal(err)
	}
	for _, network := range []string{"tcp", "unix"} {
		b.Run(network, func(b *testing.B) {
			servertest.Bench(b, network, found, "get anna@example.com\n", "200 smtp:[192.0.2.1]:25\n")
		})
	}
}

func TestLineBeyondTheBuffer(t *testing.T) {
	r := bufio.NewReaderSize(strings.NewReader("get anna@example.com\n"), 16)
	var out strings.Builder
	w := bufio.NewWriter(&out)
	if err := exchange(t, "recipient")(context.Background(), r, w); err != nil {
		t.Fatal(err)
	}
	if _ = w.Flush(); out.String() != "200 mail1\n" {
		t.Errorf("read %q", out.String())
	}
}
