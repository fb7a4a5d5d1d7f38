package policy

import (
	"testing"
	"time"
)

// The words are read by other people's scripts (log, command line).
func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Defer.String(), "defer"},
		{Deliver.String(), "deliver"},
		{Reject.String(), "reject"},
		{Pass.String(), "pass"},
		{Unasked.String(), "unasked"},
		{Yes.String(), "yes"},
		{No.String(), "no"},
		{Unsure.String(), "unsure"},
		{Answer{Host: "mail1", Says: No}.String(), "mail1:no"},
		{Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}.String(), "550 5.1.1 User unknown"},
		{Reply{Code: 550, Text: "two\nlines"}.String(), "550 two lines"},
		{Reply{Code: 250}.String(), "250"},
		{Reply{Text: "connection refused"}.String(), "connection refused"},
		{Reply{}.String(), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}

func TestUnsureOfSaysWhyAndWhen(t *testing.T) {
	before := time.Now()
	a := UnsureOf("mail1", "dial: %s", "refused")
	if a.Host != "mail1" || a.Says != Unsure || a.Why != "dial: refused" || a.At.Before(before) {
		t.Errorf("got %+v", a)
	}
}
