package probe

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"postwhere/policy"
)

func TestMingerQuery(t *testing.T) {
	for _, tt := range []struct{ name, mailbox, secret, want string }{
		{"anonymous", "anna@example.com", "", "anna@example.com"},
		// printf %s SECRET:MAILBOX | openssl md5 -binary | base64
		{"secret", "anna@example.com", "correct-horse-battery", "anna@example.com d=nnI7OeWPRYS2mL4OVxW8zQ=="},
		{"quoted", `"a,b"@d.test`, "x", `"a,b"@d.test d=xudjATHUOZPtovnEODLl1Q==`},
		{"case is kept", "Anna.O@d.test", "", "Anna.O@d.test"},
		{"what looks like a tag", "d=x@d.test", "", "d=x@d.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := mingerQuery(tt.mailbox, tt.secret)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestMingerQueryViolations(t *testing.T) {
	for _, tt := range []struct{ name, mailbox string }{
		{"nothing", ""},
		{"no address", "anna"},
		{"no local part", "@d.test"},
		{"no domain", "anna@"},
		{"mingerd's test address", "*"},
		{"a blank", `"an na"@d.test`},
		{"a tag in quotes", `"a@d.test d=x"@d.test`},
		{"a tab", "an\tna@d.test"},
		{"a line", "anna@d.test\r\nberta@d.test"},
		{"NUL", "anna\x00@d.test"},
		{"DEL", "anna\x7f@d.test"},
		{"not ASCII", "änna@d.test"},
		{"not UTF-8", "\xe4nna@d.test"},
		{"longer than a reply", strings.Repeat("a", maxMingerReply) + "@d.test"},
	} {
		for _, secret := range []string{"", "correct-horse-battery"} {
			got, err := mingerQuery(tt.mailbox, secret)
			if !errors.Is(err, errNotByMinger) {
				t.Errorf("%s: put as %q, %v", tt.name, got, err)
			}
		}
	}
}

func TestParseMingerReply(t *testing.T) {
	for _, tt := range []struct{ name, in, mailbox, status string }{
		{"active", "arvel@example.com 5", "arvel@example.com", "5"}, // the draft's examples, section 3.2
		{"unknown", "arvel@example.com 3", "arvel@example.com", "3"},
		{"credentials", "arvel@example.com 2", "arvel@example.com", "2"},
		{"a line", "anna@d.test 5\r\n", "anna@d.test", "5"},
		{"a C string", "anna@d.test 5\x00", "anna@d.test", "5"},
		{"quoted", `"a,b"@d.test 5`, `"a,b"@d.test`, "5"},
		{"as long as can be", strings.Repeat("a", maxMingerReply-9) + "@d.test 3", strings.Repeat("a", maxMingerReply-9) + "@d.test", "3"},
		// Said of an address, and not known.
		{"mingerd's own fault", "anna@d.test -1", "anna@d.test", "-1"},
		{"too high", "anna@d.test 6", "anna@d.test", "6"},
		{"two digits", "anna@d.test 33", "anna@d.test", "33"},
		{"a zero before", "anna@d.test 03", "anna@d.test", "03"},
		{"two statuses", "anna@d.test 3 5", "anna@d.test", "3 5"},
		{"a tag", "anna@d.test 3 x=1", "anna@d.test", "3 x=1"},
		{"two blanks", "anna@d.test  3", "anna@d.test", " 3"},
		{"a blank behind", "anna@d.test 3 ", "anna@d.test", "3 "},
		{"our query", "anna@d.test d=nnI7OeWPRYS2mL4OVxW8zQ==", "anna@d.test", "d=nnI7OeWPRYS2mL4OVxW8zQ=="},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMingerReply([]byte(tt.in))
			if want := (mingerReply{mailbox: tt.mailbox, status: tt.status}); err != nil || got != want {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
}

func TestParseMingerReplyViolations(t *testing.T) {
	for _, tt := range []struct{ name, in string }{
		{"nothing", ""},
		{"an end of line", "\r\n"},
		{"NUL", "\x00"},
		{"a digit", "3"}, // mingerd's answer to an empty query
		{"a blank and a digit", " 3"},
		{"an address", "anna@d.test"},
		{"no status", "anna@d.test "},
		// mingerd's answer about an address of 254 octets: its digit does not fit.
		{"cut", strings.Repeat("a", 247) + "@d.test \x00"},
		{"no blank", "anna@d.test3"}, // the draft's grammar to the letter
		{"a tab", "anna@d.test\t3"},
		{"no address before the blank", "anna 3"},
		{"a blank in the address", `"an na"@d.test 3`},
		{"turned round", "3 anna@d.test"},
		{"two lines", "anna@d.test 3\r\nberta@d.test 3"},
		{"NUL inside", "anna@d.test 3\x005"},
		{"not ASCII", "änna@d.test 3"},
		{"other digits", "anna@d.test ３"},
		{"SMTP", "550 5.1.1 <anna@d.test>: unknown\r\n"},
		{"SMTP, many lines", "550-anna@d.test\r\n550 3\r\n"},
		{"HTTP", "HTTP/1.0 404 Not Found\r\n\r\n"},
		{"DNS", "\x00\x03\x81\x83\x00\x01\x00\x00"},
		{"one octet too long", strings.Repeat("a", maxMingerReply-8) + "@d.test 3"},
		{"far too long", "anna@d.test 3" + strings.Repeat("\x00", 1<<16)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseMingerReply([]byte(tt.in))
			if !errors.Is(err, errMingerReply) || got != (mingerReply{}) {
				t.Errorf("read as %q, %v", got, err)
			}
		})
	}
}

func FuzzParseMingerReply(f *testing.F) {
	for _, seed := range []string{
		"arvel@example.com 3", "anna@d.test 5\r\n", "anna@d.test -1", "3", `"a b"@d.test 3`, "anna@d.test 3\x00", "anna@d.test 3 x=1", "ſ@K 3", "",
	} {
		f.Add([]byte(seed), "anna@d.test")
	}
	good := Calibration{Tells: true, Accepts: true}
	f.Fuzz(func(t *testing.T, in []byte, asked string) {
		r, err := parseMingerReply(in)
		if err != nil {
			if r != (mingerReply{}) {
				t.Fatalf("an error, and %q", r)
			}
			return
		}
		trimmed := strings.TrimRight(string(in), "\r\n\x00")
		switch {
		case r.mailbox+" "+r.status != trimmed, strings.Contains(r.mailbox, " "), len(in) > maxMingerReply:
			t.Fatalf("%q is read as %q", in, r)
		case strings.ContainsFunc(r.reply().String(), unicode.IsControl):
			t.Fatalf("not fit for a log: %q", r.reply())
		case r.about(asked) && askableByMinger(asked) == nil && len(r.mailbox) != len(asked):
			t.Fatalf("%q is taken for a reply about %q", in, asked)
		}
		// A no is these very octets, and nothing else.
		if m := r.weigh(good); m.says == policy.No && trimmed != r.mailbox+" 3" {
			t.Fatalf("%q is a no", in)
		} else if m.says == policy.Unsure && m.why == "" {
			t.Fatalf("%q is unsure, and nobody knows why", in)
		}
		for _, c := range []Calibration{{}, {Why: "x", AcceptsAll: true}, {Tells: true}} {
			if r.weigh(c).says == policy.No {
				t.Fatalf("%q is a no from a host that is not known: %+v", in, c)
			}
		}
	})
}

// FuzzMingerQuery looks whether a host that cuts at blanks, as mingerd does, reads
// the address that was meant, and whether its reply is known for one about it.
func FuzzMingerQuery(f *testing.F) {
	for _, seed := range []string{"anna@d.test", `"a b"@d.test`, "ä@d.test", "a\r\n@d.test", "@", "d=x@d.test"} {
		f.Add(seed, "correct-horse-battery")
		f.Add(seed, "")
	}
	f.Fuzz(func(t *testing.T, mailbox, secret string) {
		query, err := mingerQuery(mailbox, secret)
		if err != nil {
			return
		}
		words := strings.Split(query, " ")
		if words[0] != mailbox || strings.ContainsFunc(query, unicode.IsControl) || len(words) > 2 || (len(words) == 2) != (secret != "") {
			t.Fatalf("%q is put as %q", mailbox, query)
		}
		r, err := parseMingerReply([]byte(words[0] + " 3"))
		if err != nil || r.mailbox != mailbox || r.read().says != policy.No {
			t.Fatalf("the reply about %q is read as %q, %v", mailbox, r, err)
		}
	})
}

func TestMingerReplyIsAbout(t *testing.T) {
	for _, tt := range []struct {
		said, asked string
		want        bool
	}{
		{"anna@d.test", "anna@d.test", true},
		{"ANNA@D.TEST", "Anna@d.test", true}, // a host that folds
		{"anna@d.test.", "anna@d.test", false},
		{"anna+x@d.test", "anna@d.test", false},
		{"nna@d.test", "anna@d.test", false},
		{"<anna@d.test>", "anna@d.test", false},
		{"anna@e.test", "anna@d.test", false},
		{`"a"@d.test`, "a@d.test", false},
		{`"a`, `"a b"@d.test`, false},
		{"", "anna@d.test", false},
	} {
		if got := (mingerReply{mailbox: tt.said, status: "3"}).about(tt.asked); got != tt.want {
			t.Errorf("reply about %q, asked about %q: %v", tt.said, tt.asked, got)
		}
	}
}

func TestMingerReplyMeans(t *testing.T) {
	known := Calibration{Tells: true, Accepts: true}
	unproven := Calibration{Tells: true}
	blind := Calibration{AcceptsAll: true, Why: "accepts everything"}
	for _, tt := range []struct {
		name, mailbox, status string
		calibration           Calibration
		want                  policy.Says
		weak                  bool
	}{
		{"invalid", "a@d.test", "0", known, policy.Unsure, false},
		{"denied", "a@d.test", "1", known, policy.Unsure, false},
		{"credentials", "a@d.test", "2", known, policy.Unsure, false},
		{"unknown", "a@d.test", "3", known, policy.No, false},
		{"disabled", "a@d.test", "4", known, policy.Yes, true},
		{"active", "a@d.test", "5", known, policy.Yes, false},
		{"mingerd's own fault", "a@d.test", "-1", known, policy.Unsure, false},
		{"next", "a@d.test", "6", known, policy.Unsure, false},
		{"two digits", "a@d.test", "33", known, policy.Unsure, false},
		{"with a tag", "a@d.test", "3 x=1", known, policy.Unsure, false},
		{"word", "a@d.test", "unknown", known, policy.Unsure, false},
		{"quoted, unknown", `"a,b"@d.test`, "3", known, policy.Unsure, false},
		{"quoted, active", `"a,b"@d.test`, "5", known, policy.Yes, false},
		{"unknown to a host that accepted nobody", "a@d.test", "3", unproven, policy.Unsure, false},
		{"active at a host that accepted nobody", "a@d.test", "5", unproven, policy.Yes, false},
		{"unknown to a host that accepts everything", "a@d.test", "3", blind, policy.Unsure, false},
		{"disabled at a host that accepts everything", "a@d.test", "4", blind, policy.Unsure, false},
		{"active at a host that accepts everything", "a@d.test", "5", blind, policy.Unsure, false},
		{"unknown to a host of which nothing is known", "a@d.test", "3", Calibration{Why: "?"}, policy.Unsure, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := mingerReply{mailbox: tt.mailbox, status: tt.status}.weigh(tt.calibration)
			if got.says != tt.want || got.weak != tt.weak {
				t.Errorf("%s (%s), weak %v", got.says, got.why, got.weak)
			}
			if got.says == policy.Unsure && got.why == "" {
				t.Error("unsure, and nobody knows why")
			}
		})
	}
}

func TestParseMingerEndpoint(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"minger:mail1.d.test", "mail1.d.test:4069"},
		{"minger:mail1.d.test:4070", "mail1.d.test:4070"},
		{"minger:inet:mail1.d.test:4069", "mail1.d.test:4069"},
		{"minger:192.0.2.3", "192.0.2.3:4069"},
		{"minger:2001:db8::1", "[2001:db8::1]:4069"},
		{"minger:[2001:db8::1]:4070", "[2001:db8::1]:4070"},
	} {
		got, err := ParseMingerEndpoint(tt.in)
		if want := (Endpoint{Network: "udp", Address: tt.want}); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", tt.in, got, err, want)
		}
	}
	for _, in := range []string{"", "minger:", "minger::4069", "mail1.d.test", "smtp:mail1.d.test", "minger:mail1:0", "minger:mail1:x", "minger:unix:/s", "minger:smtp:mail1", "minger:mail 1"} {
		if got, err := ParseMingerEndpoint(in); err == nil {
			t.Errorf("%q: read as %+v", in, got)
		} else if !strings.Contains(err.Error(), in) {
			t.Errorf("%q: the error does not name it: %v", in, err)
		}
	}
}
