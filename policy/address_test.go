package policy

import (
	"errors"
	"strings"
	"testing"
)

func mustParse(t *testing.T, s string) Address {
	t.Helper()
	a, err := ParseAddress(s)
	if err != nil {
		t.Fatalf("ParseAddress(%q): %v", s, err)
	}
	return a
}

// Each address as it came, and as its parts and the dialogue have it.
var goodAddresses = []struct {
	name, in            string
	local, domain, wire string
}{
	{"plain", "anna@example.com", "anna", "example.com", "anna@example.com"},
	{"the local part keeps its case, the domain does not", "Anna@Example.COM", "Anna", "example.com", "Anna@example.com"},
	{"trailing dot", "anna@example.com.", "anna", "example.com", "anna@example.com"},
	{"extension", "anna+list@example.com", "anna+list", "example.com", "anna+list@example.com"},
	{"every character of an atom", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~", "example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},

	{"quoted as it must be", `"anna b"@example.com`, "anna b", "example.com", `"anna b"@example.com`},
	{"unquoted, as policy has it", `anna b@example.com`, "anna b", "example.com", `"anna b"@example.com`},
	{"quoted without need", `"anna"@example.com`, "anna", "example.com", "anna@example.com"},
	{"quoted pair without need", `"an\na"@example.com`, "anna", "example.com", "anna@example.com"},
	{"quoted quote", `"a\"b"@example.com`, `a"b`, "example.com", `"a\"b"@example.com`},
	{"unquoted quote", `a"b@example.com`, `a"b`, "example.com", `"a\"b"@example.com`},
	{"quoted backslash", `"a\\b"@example.com`, `a\b`, "example.com", `"a\\b"@example.com`},
	{"unquoted backslash", `a\b@example.com`, `a\b`, "example.com", `"a\\b"@example.com`},
	{"quotes that do not belong together", `"a"b"@example.com`, `"a"b"`, "example.com", `"\"a\"b\""@example.com`},
	{"a last quote that is quoted", `"a\"@example.com`, `"a\"`, "example.com", `"\"a\\\""@example.com`},
	{"one quote", `"@example.com`, `"`, "example.com", `"\""@example.com`},
	{"quoted @", `"anna@home"@example.com`, "anna@home", "example.com", `"anna@home"@example.com`},
	{"unquoted @", `anna@home@example.com`, "anna@home", "example.com", `"anna@home"@example.com`},
	{"one space", `" "@example.com`, " ", "example.com", `" "@example.com`},
	{"quoted comma, two users to some", `"anna,root"@example.com`, "anna,root", "example.com", `"anna,root"@example.com`},
	{"dot at the end", `anna.@example.com`, "anna.", "example.com", `"anna."@example.com`},
	{"dot at the start", `.anna@example.com`, ".anna", "example.com", `".anna"@example.com`},
	{"two dots", `an..na@example.com`, "an..na", "example.com", `"an..na"@example.com`},
	{"brackets", `<anna>@example.com`, "<anna>", "example.com", `"<anna>"@example.com`},

	{"source route", "@relay.example.net,@mx.example.net:anna@example.com", "anna", "example.com", "anna@example.com"},
	{"source route of a quoted local part", `@relay:"anna b"@example.com`, "anna b", "example.com", `"anna b"@example.com`},
	{"two source routes", "@relay:@mx:anna@example.com", "anna", "example.com", "anna@example.com"},
	{"source route in quotes", `"@relay:anna"@example.com`, "anna", "example.com", "anna@example.com"},
	{"no source route", `"@anna"@example.com`, "@anna", "example.com", `"@anna"@example.com`},
	{"colon", "an:na@example.com", "an:na", "example.com", `"an:na"@example.com`},

	{"UTF-8 local part", "jürgen@example.com", "jürgen", "example.com", "jürgen@example.com"},
	{"UTF-8 local part, quoted", `"jürgen ü"@example.com`, "jürgen ü", "example.com", `"jürgen ü"@example.com`},
	{"U-label", "anna@bücher.example", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"U-label in upper case", "anna@BÜCHER.example", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"U-label, decomposed", "anna@bu\u0308cher.example", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"U-label with trailing dot", "anna@bücher.example.", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"sharp s is a letter of its own (IDNA2008, and Postfix)", "anna@straße.example", "anna", "xn--strae-oqa.example", "anna@xn--strae-oqa.example"},
	{"A-label", "anna@xn--bcher-kva.example", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"A-label in upper case", "anna@XN--BCHER-KVA.EXAMPLE", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"ideographic full stops", "anna@bücher。example。", "anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"},
	{"full-width letters", "anna@ｅｘａｍｐｌｅ.com", "anna", "example.com", "anna@example.com"},
	{"underscore", "anna@_mail.example.com", "anna", "_mail.example.com", "anna@_mail.example.com"},
	{"address literal", "anna@[192.0.2.1]", "anna", "[192.0.2.1]", "anna@[192.0.2.1]"},

	{"as long as may be", longAddress(254), strings.Repeat("x", 242), "example.com", longAddress(254)},
	{"a local part above 64 octets", longAddress(100), strings.Repeat("x", 88), "example.com", longAddress(100)},
}

// longAddress returns an address of n octets.
func longAddress(n int) string {
	const at = "@example.com"
	return strings.Repeat("x", n-len(at)) + at
}

func TestGoodAddresses(t *testing.T) {
	for _, tt := range goodAddresses {
		a, err := ParseAddress(tt.in)
		if err != nil {
			t.Errorf("%s: ParseAddress(%q): %v", tt.name, tt.in, err)
			continue
		}
		if a.Local() != tt.local || a.Domain() != tt.domain || a.String() != tt.wire {
			t.Errorf("%s: ParseAddress(%q) = %q at %q, in the dialogue %s; want %q at %q, %s",
				tt.name, tt.in, a.Local(), a.Domain(), a, tt.local, tt.domain, tt.wire)
		}
	}
}

var refusedAddresses = []struct {
	name, in string
	domain   string // "": it is nobody's, else it could not be asked about
}{
	{"empty", "", ""},
	{"null address", "<>", ""},
	{"everything", "*", ""},
	{"no domain", "postmaster", ""},
	{"nothing behind the @", "anna@", ""},
	{"only a dot behind the @", "anna@.", ""},
	{"only dots behind the @", "anna@..", ""},
	{"empty label", "anna@example..com", ""},
	{"empty first label", "anna@.example.com", ""},
	{"two trailing dots", "anna@example.com..", ""},
	{"domain with a space", "anna@example.com b", ""},
	{"domain with a line end", "anna@example.com\r\nRCPT TO:<root@example.com>", ""},
	{"domain with NUL", "anna@exam\x00ple.com", ""},
	{"domain with a bracket", "anna@example.com>", ""},
	{"domain with a backslash", `anna@example\.com`, ""},
	{"domain that is not UTF-8", "anna@ex\xffample.com", ""},
	{"domain that IDNA knows nothing of", "anna@bü_cher.example", ""},
	{"domain too long", "anna@" + strings.Repeat("a.", 126) + "comm", ""},
	{"domain that would keep Punycode busy", "anna@" + strings.Repeat("日", 1<<14), ""},

	{"empty local part", "@example.com", "example.com"},
	{"empty quotes", `""@example.com`, "example.com"},
	{"nothing behind a source route", "@relay:@example.com", "example.com"},
	{"line end", "anna\r\nRCPT TO:<root>@example.com", "example.com"},
	{"quoted line end", "\"anna\\\n\"@example.com", "example.com"},
	{"NUL", "an\x00na@example.com", "example.com"},
	{"tab", "an\tna@example.com", "example.com"},
	{"DEL", "an\x7fna@example.com", "example.com"},
	{"next line (C1)", "an\u0085na@example.com", "example.com"},
	{"line separator", "an\u2028na@example.com", "example.com"},
	{"paragraph separator", "an\u2029na@example.com", "example.com"},
	{"local part that is not UTF-8", "an\xffna@example.com", "example.com"},
	{"one octet too long", longAddress(255), "example.com"},
	{"too long with its quotes", `x ` + longAddress(252), "example.com"},
	{"our domain is still told apart", "an\x00na@EXAMPLE.com.", "example.com"},
}

func TestRefusedAddresses(t *testing.T) {
	for _, tt := range refusedAddresses {
		a, err := ParseAddress(tt.in)
		want := ErrUnaskable
		if tt.domain == "" {
			want = ErrNoAddress
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: ParseAddress(%q): error %v, want %v", tt.name, tt.in, err, want)
		}
		if a.Domain() != tt.domain {
			t.Errorf("%s: domain %q, want %q", tt.name, a.Domain(), tt.domain)
		}
		if err != nil && len(err.Error()) > 300 {
			t.Errorf("%s: error of %d octets", tt.name, len(err.Error()))
		}
	}
}

func TestZeroAddressIsNobodys(t *testing.T) {
	var a Address
	if a.Domain() != "" || a.Local() != "" {
		t.Errorf("got %q at %q", a.Local(), a.Domain())
	}
}

func TestIsASCII(t *testing.T) {
	for in, want := range map[string]bool{
		"anna@example.com":    true,
		"anna@bücher.example": true, // asked by its A-label
		"jürgen@example.com":  false,
	} {
		if got := mustParse(t, in).IsASCII(); got != want {
			t.Errorf("%q: IsASCII = %v, want %v", in, got, want)
		}
	}
}

func TestAtReplacesTheDomainVerbatim(t *testing.T) {
	a := mustParse(t, `"Anna b"@example.com`).At("Inner.Example")
	if got, want := a.String(), `"Anna b"@Inner.Example`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
