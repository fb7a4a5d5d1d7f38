package tcptable

import (
	"errors"
	"strings"
	"testing"

	"postwhere/policy/server"
)

func TestQuote(t *testing.T) {
	for raw, want := range map[string]string{
		"":                       "",
		"anna@example.com":       "anna@example.com",
		`"a b"@example.com`:      `"a%20b"@example.com`,
		"100%":                   "100%25",
		"%41":                    "%2541",
		"ü":                      "%C3%BC",
		"\x00\t\n\r\x1f\x7f\xff": "%00%09%0A%0D%1F%7F%FF",
		"!~+=[]:{}":              "!~+=[]:{}",
	} {
		if got := quote(raw); got != want {
			t.Errorf("quote(%q) = %q, want %q", raw, got, want)
		}
	}
}

func FuzzQuote(f *testing.F) {
	f.Add("a b%\xff\n")
	f.Fuzz(func(t *testing.T, raw string) {
		coded := quote(raw)
		if strings.ContainsFunc(coded, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("quote(%q) = %q", raw, coded)
		}
		if got, err := unquote([]byte(coded)); got != raw || err != nil {
			t.Errorf("%q became %q, %v", raw, got, err)
		}
	})
}

func FuzzUnquote(f *testing.F) {
	for _, s := range []string{"anna@example.com", "%C3%bc", "%", "%4", "%zz", "a b", "%%"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, coded []byte) {
		raw, err := unquote(coded)
		if err != nil {
			if raw != "" || !errors.Is(err, server.ErrMalformed) {
				t.Errorf("%q, %v", raw, err)
			}
			return
		}
		if again, err := unquote([]byte(quote(raw))); again != raw || err != nil {
			t.Errorf("%q became %q, %v", raw, again, err)
		}
	})
}
