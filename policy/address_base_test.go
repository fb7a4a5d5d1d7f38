package policy

import "testing"

// The rules are those of Postfix, src/global/split_addr.c.
func TestBaseSplitsWhatPostfixSplits(t *testing.T) {
	for _, tt := range []struct {
		name, local, delimiters, base string
	}{
		{"extension", "anna+list", "+", "anna"},
		{"the first delimiter counts", "anna+list+more", "+", "anna"},
		{"delimiters are a set", "anna-list+more", "+-", "anna"},
		{"whichever of them comes first", "anna+list-more", "-+", "anna"},
		{"empty extension", "anna+", "+", "anna"},
		{"case is kept", "Anna+List", "+", "Anna"},
		{"UTF-8", "jürgen+größe", "+", "jürgen"},
		{"owner- is an ordinary name where - delimits nothing", "owner-list+x", "+", "owner-list"},
		{"so is -request", "list+x-request", "+", "list"},
		{"owner without a hyphen", "owner+list", "+-", "owner"},
		{"request at the start", "request-list", "-", "request"},
		{"a name that begins like postmaster", "postmaster+x", "+", "postmaster"},
		{"a name that begins like double-bounce", "double-bounce-x", "-", "double"},
		{"the delimiter need not be a common one", "anna=list", "=", "anna"},
	} {
		a := mustParse(t, tt.local+"@example.com")
		base, split := a.Base(tt.delimiters)
		if !split || base != mustParse(t, tt.base+"@example.com") {
			t.Errorf("%s: %q by %q: %v, %v, want %q", tt.name, tt.local, tt.delimiters, base, split, tt.base)
		}
	}
}

func TestBaseLeavesAloneWhatPostfixNeverSplits(t *testing.T) {
	for _, tt := range []struct {
		name, local, delimiters string
	}{
		{"no delimiters", "anna+list", ""},
		{"none of them occurs", "anna", "+-"},
		{"it would leave nothing", "+list", "+"},
		{"it would leave nothing, by another of the set", "-list+x", "+-"},
		{"postmaster", "postmaster", "m"},
		{"Postmaster", "Postmaster", "m"},
		{"MAILER-DAEMON", "MAILER-DAEMON", "-"},
		{"mailer-daemon", "mailer-daemon", "-"},
		{"double-bounce", "double-bounce", "-"},
		{"owner-", "owner-list", "-"},
		{"OWNER-", "OWNER-list", "-"},
		{"owner- by another of the set", "owner-list+x", "+-"},
		{"-request", "list-request", "-"},
		{"-Request", "list-Request", "-"},
		{"-request by another of the set", "list+x-request", "+-"},
		{"only -request", "-request", "-"},
	} {
		a := mustParse(t, tt.local+"@example.com")
		if base, split := a.Base(tt.delimiters); split || base != a {
			t.Errorf("%s: %q by %q became %v", tt.name, tt.local, tt.delimiters, base)
		}
	}
}
