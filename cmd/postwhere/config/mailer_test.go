package config

import "testing"

func TestMailerForARoute(t *testing.T) {
	t.Parallel()
	for route, want := range map[string]string{
		"smtp:[mail1]:25":            "esmtp:[mail1]",
		"smtp:[mail1]":               "esmtp:[mail1]",
		"smtp:[mail1]:smtp":          "esmtp:[mail1]",
		"smtp:mail1.example.net":     "esmtp:mail1.example.net", // by MX in both
		"smtp:mail1.example.net:26":  "esmtp26:mail1.example.net",
		"moving:[192.0.2.3]:2525":    "esmtp2525:[192.0.2.3]",
		":[192.0.2.3]:2525":          "esmtp2525:[192.0.2.3]",
		"smtp:[mail1]:submission":    "esmtpsubmission:[mail1]",
		"smtp:[2001:db8::1]":         "esmtp:[IPv6:2001:db8::1]",
		"smtp:[2001:DB8:0:0::1]:26":  "esmtp26:[IPv6:2001:db8::1]",
		"smtp:[::ffff:192.0.2.3]:26": "esmtp26:[IPv6:::ffff:192.0.2.3]",

		// Sendmail has no such way, or none that can be guessed.
		"lmtp:unix:private/dovecot": "",
		"lmtp:[192.0.2.3]:24":       "",
		"virtual:":                  "",
		"local:$myhostname":         "",
		"smtp:[a]:25, [b]:25":       "",
		"smtp:unix:/run/smtp":       "",
	} {
		if got := mailerFor(route); got != want {
			t.Errorf("%s: %q, want %q", route, got, want)
		}
	}
}

func TestMailerPort(t *testing.T) {
	t.Parallel()
	for mailer, want := range map[string]string{
		"esmtp:[mail1]": "", "esmtp2525:[mail1]": "2525", "esmtpsubmission:[mail1]": "submission",
		"relay:[mail1]": "", "myesmtp25:[mail1]": "", "": "",
	} {
		if got := (&Host{Mailer: mailer}).MailerPort(); got != want {
			t.Errorf("%s: %q, want %q", mailer, got, want)
		}
	}
}
