package postfix

import (
	"slices"
	"testing"
)

func TestWordsOfAList(t *testing.T) {
	t.Parallel()
	for list, want := range map[string][]string{
		"":                         nil,
		" , ":                      nil,
		"a":                        {"a"},
		"a, b\n\tc,d":              {"a", "b", "c", "d"},
		"x {inet:h:1, y=2},{ a b}": {"x", "{inet:h:1, y=2}", "{ a b}"},
		"p:{u:{$v}, s:{w:}} z":     {"p:{u:{$v}, s:{w:}}", "z"},
		"${{$l} < {1} ? {a} : {}}": {"${{$l} < {1} ? {a} : {}}"},
		"a} b":                     {"a}", "b"},
		"{a b":                     {"{a b"},
	} {
		if got := Words(list); !slices.Equal(got, want) {
			t.Errorf("Words(%q) = %q, want %q", list, got, want)
		}
	}
}

func TestInsertAndCut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		list string
		at   int
		want string
	}{
		{"", 0, "x y"}, {"a", 0, "x y a"}, {"a", 1, "a x y"}, {"a", 9, "a x y"}, {"a, b", 1, "a, x y, b"},
		{"a,\n    b", 2, "a,\n    b, x y"}, {"a b,", 2, "a b x y"},
	} {
		got := Insert(c.list, c.at, "x y")
		if got != c.want {
			t.Errorf("Insert(%q, %d) = %q, want %q", c.list, c.at, got, c.want)
		}
		if back := Cut(got, min(c.at, len(Words(c.list))), 2); !slices.Equal(Words(back), Words(c.list)) {
			t.Errorf("Cut of it: %q, want the words of %q", back, c.list)
		}
	}
}

func TestServices(t *testing.T) {
	t.Parallel()
	got := parseServices([]string{
		"smtp       inet  n       -       y       -       -       smtpd -v -o a=b -o {c = d, e} -o f= -o f=2 -o g=h,i",
		"[::1]:2525 inet  n       -       -       -       -       smtpd", "", "broken line",
	})
	if len(got) != 2 || got[0].Key() != "smtp/inet" || !got[0].Chroot || got[1].Chroot || got[1].Key() != "[::1]:2525/inet" {
		t.Fatalf("got %+v", got)
	}
	for name, want := range map[string]string{"a": "b", "c": "d, e", "f": "2", "g": "h,i"} {
		if value, ok := got[0].Option(name); !ok || value != want {
			t.Errorf("%s: %q %v, want %q", name, value, ok, want)
		}
	}
	if _, ok := got[1].Option("a"); ok {
		t.Error("an option of another service")
	}
}

// What somebody else has changed since stays, in whichever line it is.
func TestTakenBack(t *testing.T) {
	t.Parallel()
	const before = "# mine\na = 1\nr =\n    x,\n    # inner\n    y\n"
	const after = "# mine\na = 1\nr = x, y, p {q, z=1}\n    # inner\nt = map\n"
	for name, c := range map[string]struct{ now, want, missed string }{
		"nothing":                {after, before, ""},
		"another entry":          {"# mine\na = 2\nr = x, y, p {q, z=1}\n    # inner\nt = map\n", "# mine\na = 2\nr =\n    x,\n    # inner\n    y\n", ""},
		"another entry at end":   {after + "b = 3\n# more\n", before + "b = 3\n# more\n", ""},
		"the same entry":         {"a = 1\nr = w x, y, p { q, z=1 }, v\nt = map\n", "a = 1\nr = w x, y, v\n", ""},
		"in several lines":       {"r = x,\n  y,\n  p {q, z=1},\n  v\nt = map other\n", "r = x,\n  y,\n  v\nt = other\n", ""},
		"ours taken out already": {"a = 1\nr = x, y\n", "a = 1\nr = x, y\n", "r"},
		"ours broken up":         {"r = x, y, p other\nt = map\n", "r = x, y, p other\n", "r"},
		"a whole entry":          {"r = x, y, p {q, z=1}\n", "r =\n    x,\n    # inner\n    y\n", ""},
	} {
		got, missed := mainCF.takenBack(before, after, c.now)
		if got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
		if (c.missed != "") != (len(missed) > 0) {
			t.Errorf("%s: missed %q, want %q", name, missed, c.missed)
		}
	}
}

func TestTakenBackFromServices(t *testing.T) {
	t.Parallel()
	const before = "smtp inet n - y - - smtpd\nsub inet n - y - - smtpd\n  -o { r = a, b }\n"
	const after = "smtp inet n - y - - smtpd\n    -o w=door\nsub  inet n - y - - smtpd\n    -o {r=a, b}\n    -o w=door\ndoor unix - - n - - rewrite\n"
	now := "smtp inet n - y - 10 smtpd\n    -o w=door -o x=y\nsub  inet n - y - - smtpd\n    -o {r=a, b}\n    -o w=door\n    -o m=\ndoor unix - - y - - rewrite\nnew unix - - n - - pipe\n"
	want := "smtp inet n - y - 10 smtpd -o x=y\nsub  inet n - y - - smtpd\n    -o {r=a, b}\n    -o m=\nnew unix - - n - - pipe\n"
	got, missed := masterCF.takenBack(before, after, now)
	if got != want || len(missed) > 0 {
		t.Errorf("got %q, missed %q\nwant %q", got, missed, want)
	}
}

// What somebody else has come to need stays.
func TestTakenBackButForWhatIsUsed(t *testing.T) {
	t.Parallel()
	const before = "smtp inet n - y - - smtpd\n"
	const after = "smtp inet n - y - - smtpd\n    -o rewrite_service_name=door\ndoor unix - - n - - rewrite\n"
	got, missed := masterCF.takenBack(before, after, after+"new inet n - n - - smtpd -o rewrite_service_name=door\n")
	if want := before + "new inet n - n - - smtpd -o rewrite_service_name=door\ndoor unix - - n - - rewrite\n"; got != want || !slices.Equal(missed, []string{"door/unix"}) {
		t.Errorf("got %q, missed %q\nwant %q", got, missed, want)
	}
}
