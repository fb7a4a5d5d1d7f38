package postfix

import (
	"slices"
	"strings"
	"testing"
)

// Whatever the files are, nothing of them is lost: they are put together as they were
// taken apart, and what was changed is taken back.
func FuzzTakenBack(f *testing.F) {
	f.Add("a = 1\n# b\n  c\n", "a = 1, x\n# b\n", "a = 1, y, x\n")
	f.Add("smtp inet n - n - - smtpd\n", "smtp inet n - n - - smtpd\n  -o a=b\n", "")
	f.Add("= \n", "\n=\n {", "}= x")
	f.Fuzz(func(t *testing.T, before, after, now string) {
		for _, k := range []kind{mainCF, masterCF} {
			if got := textOf(entriesOf(now, k.keyOf)); got != now {
				t.Fatalf("%q became %q", now, got)
			}
			if got, missed := k.takenBack(before, after, after); got != before || len(missed) > 0 {
				t.Fatalf("%q to %q is taken back to %q, missed %q", before, after, got, missed)
			}
			// Nobody's entries but those that were changed are touched.
			got, _ := k.takenBack(before, after, now)
			ours := changed(entriesOf(before, k.keyOf), entriesOf(after, k.keyOf))
			for _, e := range entriesOf(now, k.keyOf) {
				if e.key != "" && !slices.Contains(ours, e.key) && !strings.Contains(got, e.text) {
					t.Fatalf("%q is lost from %q", e.text, got)
				}
			}
		}
	})
}

func FuzzList(f *testing.F) {
	f.Add("a, b {c, d}", 1, "x {y, z}")
	f.Add("", 0, "x")
	f.Add("{", -1, "}")
	f.Fuzz(func(t *testing.T, list string, at int, text string) {
		words, added := Words(list), Words(text)
		if at < 0 || at > len(words) || strings.ContainsAny(list+text, "{}") && (unclosed(list) || unclosed(text)) || len(added) == 0 {
			return
		}
		got := Insert(list, at, text)
		if want := slices.Insert(slices.Clone(words), at, added...); !slices.Equal(Words(got), want) {
			t.Fatalf("Insert(%q, %d, %q) = %q", list, at, text, got)
		}
		if back := Cut(got, at, len(added)); !slices.Equal(Words(back), words) {
			t.Fatalf("Cut(%q, %d, %d) = %q, want the words of %q", got, at, len(added), back, list)
		}
	})
}

// unclosed tells whether braces do not match: what comes behind belongs to them.
func unclosed(list string) bool {
	depth := 0
	for _, r := range list {
		switch {
		case r == '{':
			depth++
		case r == '}' && depth > 0:
			depth--
		}
	}
	return depth > 0
}
