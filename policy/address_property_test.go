package policy

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func FuzzParseAddress(f *testing.F) {
	for _, tt := range goodAddresses {
		f.Add(tt.in)
	}
	for _, tt := range refusedAddresses {
		f.Add(tt.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err == nil {
			checkAddress(t, a)
			return
		}
		if !errors.Is(err, ErrNoAddress) && !errors.Is(err, ErrUnaskable) {
			t.Errorf("ParseAddress(%q): %v is neither of the two errors", s, err)
		}
		if ours := errors.Is(err, ErrUnaskable); ours != (a.Domain() != "") {
			t.Errorf("ParseAddress(%q): %v, with domain %q", s, err, a.Domain())
		}
	})
}

type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// checkAddress tells whether an address keeps what Address promises.
func checkAddress(t reporter, a Address) {
	t.Helper()
	wire := a.String()
	if again, err := ParseAddress(wire); err != nil || again != a {
		t.Errorf("%q is read again as %q: %v", wire, again, err)
	}
	if !utf8.ValidString(wire) || strings.ContainsFunc(wire, unicode.IsControl) || strings.ContainsAny(wire, "\u2028\u2029") {
		t.Errorf("%q could break a dialogue", wire)
	}
	if len(wire) > 254 {
		t.Errorf("%q has %d octets", wire, len(wire))
	}
	if d, err := NormalDomain(a.Domain()); err != nil || d != a.Domain() {
		t.Errorf("domain %q is not normal: %q, %v", a.Domain(), d, err)
	}
	folded := Address{local: strings.ToLower(a.Local()), domain: a.Domain()}
	if folded.Key() != a.Key() {
		t.Errorf("key %q, folded once more %q", a.Key(), folded.Key())
	}
	for _, delimiters := range []string{"+", "-", "+-", "a"} {
		base, split := a.Base(delimiters)
		if split && (base.Local() == "" || !strings.HasPrefix(a.Local(), base.Local()) || strings.ContainsAny(base.Local(), delimiters)) {
			t.Errorf("base of %q by %q is %q", a, delimiters, base)
		}
		if again, _ := base.Base(delimiters); again != base {
			t.Errorf("base of the base of %q by %q is %q", a, delimiters, again)
		}
	}
}

// localParts draws local parts as a mailbox may have them: mostly what needs care.
var localParts = rapid.StringOfN(rapid.OneOf(
	rapid.RuneFrom([]rune(`aZ09.+-_ "\@,:;<>()[]`)),
	rapid.RuneFrom([]rune("üÄßıİſK日")),
	rapid.RuneFrom(nil, unicode.Letter, unicode.Punct),
), 1, 40, 200)

// unrouted are those that do not begin like a source route.
var unrouted = localParts.Filter(func(local string) bool { return unroute(local) == local })

func TestAddressIsReadBackFromTheDialogue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkAddress(t, Address{local: unrouted.Draw(t, "local"), domain: "example.com"})
	})
}

func TestQuotingDoesNotMakeAnotherMailbox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := unrouted.Draw(t, "local")
		quoted := `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(local) + `"@example.com`
		a, err := ParseAddress(quoted)
		if err != nil || a.Local() != local {
			t.Errorf("%s is read as %q, %v, want %q", quoted, a.Local(), err, local)
		}
	})
}

func TestOneMailboxHasOneKeyInEverySpellingOfItsDomain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local := rapid.StringMatching(`[a-z0-9]([a-z0-9+.-]{0,10}[a-z0-9])?`).Filter(func(s string) bool {
			return !strings.Contains(s, "..")
		}).Draw(t, "local")
		spelt := respell(t, local) + "@" + respell(t, rapid.SampledFrom([]string{
			"example.com", "example.com.", "xn--bcher-kva.example", "bücher.example", "bücher.example.",
		}).Draw(t, "domain"))
		a, err := ParseAddress(spelt)
		if err != nil {
			t.Fatalf("%q: %v", spelt, err)
		}
		if got := a.Key(); got != local+"@example.com" && got != local+"@xn--bcher-kva.example" {
			t.Errorf("key of %q is %q", spelt, got)
		}
	})
}

// respell returns s with some of its letters in upper case.
func respell(t *rapid.T, s string) string {
	upper := rapid.Uint64().Draw(t, "upper case")
	i := 0
	return strings.Map(func(r rune) rune {
		i++
		if upper>>(i%64)&1 == 1 {
			return unicode.ToUpper(r)
		}
		return r
	}, s)
}

// A dot at the end has a name looked at in full, and changes nothing.
func TestNormalDomainIsTheSameWithADotAtItsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringOfN(rapid.SampledFrom([]rune("aZ0-_.@ é。\x00")), 1, 300, -1).Draw(t, "name")
		if strings.HasSuffix(name, ".") {
			return
		}
		d, err := NormalDomain(name)
		if dotted, other := NormalDomain(name + "."); dotted != d || (err == nil) != (other == nil) {
			t.Errorf("%q is %q, %v; with a dot %q, %v", name, d, err, dotted, other)
		}
	})
}
