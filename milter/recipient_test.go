package milter

import (
	"testing"

	"postwhere/policy"
)

func TestRecipientOf(t *testing.T) {
	for _, row := range []struct {
		word, resolved, want string
		unquoted             bool
	}{
		// Plain words are what they are, whatever became of them.
		{"anna@example.com", "anna@example.com", "anna@example.com", false},
		{"User+Ext@Example.COM", "user+ext@example.com", "User+Ext@Example.COM", false},
		{"anna", "anna@front.example", "anna", false},
		{"anna@example.com", "", "anna@example.com", false},
		{"ünna@bücher.example", "ünna@bücher.example", "ünna@bücher.example", false},
		{"", "", "", false},
		// Quoting, in the client's case.
		{`"Anna B"@Example.com`, `"anna b"@example.com`, "Anna B@Example.com", true},
		{`"anna"@example.com`, "anna@example.com", "anna@example.com", true},
		{`"a\"b\\c"@example.com`, `"a\"b\\c"@example.com`, `a"b\c@example.com`, true},
		{`"a@b"@example.com`, `"a@b"@example.com`, "a@b@example.com", true},
		{`a\.b@example.com`, "a.b@example.com", "a.b@example.com", true},
		{`A."B".c@example.com`, "a.b.c@example.com", "A.B.c@example.com", true},
		{`"a(b)"@example.com`, `"a(b)"@example.com`, "a(b)@example.com", true},
		// What parts words, and what says how to get there.
		{"Anna(the first (of many\\))) @ example.com", "anna@example.com", "Anna@example.com", true},
		{" anna . b@ example . com ", "anna.b@example.com", "anna.b@example.com", true},
		{"anna b@example.com", `"anna b"@example.com`, "anna b@example.com", true},
		{"@relay.example:Anna@example.com", "anna@example.com", "Anna@example.com", true},
		{"@a.example,@b.example:Anna@example.com", "anna@example.com", "Anna@example.com", true},
		{`Yes\ß@example.com`, "yesss@example.com", "Yesß@example.com", true}, // full case folding
		// Where the MTA has made something else of it, or has not said, it stays.
		{`"Anna B"@Example.com`, "", `"Anna B"@Example.com`, false},
		{`"anna"@example.com`, "bert@example.com", `"anna"@example.com`, false},
		{`"anna"@example.com`, "anna@other.example", `"anna"@example.com`, false},
		{`"anna"@example.com`, "anna", `"anna"@example.com`, false},
		{"(anna", "anna@example.com", "(anna", false},
		{`"anna`, "anna@example.com", `"anna`, false},
		{`anna\`, "anna@example.com", `anna\`, false},
		{"(anna)@example.com", "@example.com", "@example.com", true},
		// Names of persons and groups.
		{`Anna B <Anna@example.com>`, "anna@example.com", "Anna@example.com", true},
		{`"Anna: B" <@relay.example:Anna@example.com>`, "anna@example.com", "Anna@example.com", true},
		{"<Anna@example.com>", "anna@example.com", "Anna@example.com", true},
		{"all: Anna@example.com;", "anna@example.com", "Anna@example.com", true},
	} {
		got, unquoted := recipientOf(row.word, row.resolved)
		if got != row.want || unquoted != row.unquoted {
			t.Errorf("%q (%q): got %q, %v, want %q, %v", row.word, row.resolved, got, unquoted, row.want, row.unquoted)
		}
	}
}

// FuzzRecipientOf: a word with a special character is taken for another text only
// if the MTA takes it for that, too.
func FuzzRecipientOf(f *testing.F) {
	f.Add(`a."b"(c)@example.com`, "a.b@example.com")
	f.Add(`"a\"b"@example.com`, `"a\"b"@example.com`)
	f.Add("@x:a @ example.com", "a@example.com")
	f.Add("(((\\", "a@example.com")
	f.Fuzz(func(t *testing.T, word, resolved string) {
		got, unquoted := recipientOf(word, resolved)
		if !unquoted {
			if got != word {
				t.Errorf("%q became %q", word, got)
			}
			return
		}
		want, err := policy.ParseAddress(resolved)
		if err != nil {
			t.Fatalf("%q became %q by %q, which is no address", word, got, resolved)
		}
		if n, err := policy.NormalDomain(got[len(got)-len(want.Domain()):]); err == nil && n != want.Domain() {
			t.Errorf("%q became %q, by %q", word, got, resolved)
		}
	})
}
