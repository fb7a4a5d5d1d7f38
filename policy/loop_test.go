package policy

import (
	"testing"
	"testing/synctest"
)

func TestProbesAreKnownByTheirMark(t *testing.T) {
	for _, tt := range []struct {
		helo string
		want bool
	}{
		{ProbeHelo("7f3a", "mx1.example.net"), true},
		{"POSTWHERE-7F3A.mx1.example.net", true},
		{"postwhere-7f3a", false},
		{"postwhere-.example.net", false},
		{"postwhere-7f3a.", false},
		{"postwhere.example.net", false},
		{"mail.postwhere-7f3a.example.net", false},
		{"postwhere-", false},
		{"p", false},
		{"", false},
		{"İ.example.net", false}, // grows when it is folded
	} {
		if got := isProbe(tt.helo); got != tt.want {
			t.Errorf("isProbe(%q) = %v, want %v", tt.helo, got, tt.want)
		}
	}
}

func TestProbeOfAPeerIsPassedWithoutASearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1")
		s := newSite(t, mail1)
		for _, recipient := range []string{"anna@example.com", "an\x00na@example.com"} {
			f := s.ask(t, Request{Recipient: recipient, Helo: ProbeHelo("7f3a", "mx2.example.net")})
			wantVerdict(t, f, Pass)
		}
		wantAsked(t, 0, mail1)
	})
}
