package probe

import "testing"

func TestEndpointIsReadAsWritten(t *testing.T) {
	for in, want := range map[string]Endpoint{
		"mail1.test":                {Network: "tcp", Address: "mail1.test:25"},
		"mail1.test:2525":           {Network: "tcp", Address: "mail1.test:2525"},
		"smtp:mail1.test":           {Network: "tcp", Address: "mail1.test:25"},
		"smtp:inet:mail1.test:2525": {Network: "tcp", Address: "mail1.test:2525"},
		"inet:mail1.test":           {Network: "tcp", Address: "mail1.test:25"},
		"192.0.2.1":                 {Network: "tcp", Address: "192.0.2.1:25"},
		"2001:db8::1":               {Network: "tcp", Address: "[2001:db8::1]:25"},
		"[2001:db8::1]":             {Network: "tcp", Address: "[2001:db8::1]:25"},
		"[2001:db8::1]:2525":        {Network: "tcp", Address: "[2001:db8::1]:2525"},
		"lmtp:mail1.test":           {LMTP: true, Network: "tcp", Address: "mail1.test:24"},
		"lmtp:inet:[::1]:2003":      {LMTP: true, Network: "tcp", Address: "[::1]:2003"},
		"lmtp:unix:/run/lmtp":       {LMTP: true, Network: "unix", Address: "/run/lmtp"},
		"unix:/run/smtp":            {Network: "unix", Address: "/run/smtp"},
	} {
		got, err := ParseEndpoint(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", in, got, err, want)
		}
		if again, err := ParseEndpoint(got.String()); err != nil || again != got {
			t.Errorf("%q, written as %q, is read as %+v, %v", in, got, again, err)
		}
	}
}

func TestWhatIsNoEndpointIsAnError(t *testing.T) {
	for _, in := range []string{
		"", "smtp:", "lmtp:inet:", "unix:run/lmtp", "unix:", ":25", "mail1:", "mail1:0", "mail1:65536", "mail1:smtp", "mail1:25:25", "mail 1", "mail1\r\n", "a@b", "[]", "[]:25", "[mail1", "<mail1>",
	} {
		if got, err := ParseEndpoint(in); err == nil {
			t.Errorf("%q is read as %+v", in, got)
		}
	}
}

func TestMethodIsReadAsWritten(t *testing.T) {
	for _, m := range []Method{Auto, VRFY, RCPT} {
		var got Method
		if err := got.UnmarshalText([]byte(m.String())); err != nil || got != m {
			t.Errorf("%v: %v, %v", m, got, err)
		}
	}
	m := RCPT
	if err := m.UnmarshalText([]byte("expn")); err == nil || m != RCPT {
		t.Errorf("%v, %v", m, err)
	}
}
