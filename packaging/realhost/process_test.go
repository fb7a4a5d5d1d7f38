package realhost

import "testing"

func TestParseStat(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want process
		ok   bool
	}{
		{"12 (smtpd) S 7 8 9 0 -1", process{pid: 12, name: "smtpd", parent: 7, session: 9}, true},
		{"12 (smtpd) Z 9 9 9 0 -1\n", process{pid: 12, name: "smtpd", zombie: true, parent: 9, session: 9}, true},
		{"12 (a b) S (x)) S 7 8 9 0", process{pid: 12, name: "a b) S (x)", parent: 7, session: 9}, true},
		{"", process{}, false},
		{"12", process{}, false},
		{") (", process{}, false},
		{"12 (smtpd) S 7 8", process{}, false},
		{"x (smtpd) S 7 8 9", process{}, false},
		{"12 (smtpd) S 7 8 x", process{}, false},
	} {
		got, ok := parseStat([]byte(tt.text))
		if got != tt.want || ok != tt.ok {
			t.Errorf("parseStat(%q) = %+v, %t, want %+v, %t", tt.text, got, ok, tt.want, tt.ok)
		}
	}
}
