package table

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"postwhere/policy"
)

func TestSendmail(t *testing.T) {
	for _, row := range []struct {
		name       string
		finding    policy.Finding
		want, door Result
	}{
		{"deliver", deliver, Result{Found, "esmtp:[mail1.example.net]"}, Result{Found, "esmtp:[mail1.example.net]"}},
		{"reject", reject, Result{Found, `error:5.1.1:"550 User unknown"`}, Result{Temp, "5.1.1 User unknown"}},
		{"defer", later, Result{Found, `error:4.4.1:"450 no answer"`}, Result{Temp, "4.4.1 no answer"}},
		{"pass", pass, Result{Status: NotFound}, Result{Status: NotFound}},
		{
			"let in unsure", letInOne, Result{Found, `error:4.4.1:"450 Mailbox cannot be located now, try again later"`},
			Result{Temp, "4.4.1 Mailbox cannot be located now, try again later"},
		},
		{"reject with 4xx", careful, Result{Found, `error:4.1.1:"450 User unknown"`}, Result{Temp, "4.1.1 User unknown"}},
		{"defer with 5xx", harsh, Result{Found, `error:4.4.1:"450 User unknown"`}, Result{Temp, "4.4.1 User unknown"}},
		{"deliver without a host", nobody, Result{Temp, noValue}, Result{Temp, noValue}},
		{"deliver to a host without a mailer", nowhere, Result{Temp, noValue}, Result{Temp, noValue}},
		{"a mailer with control characters", poisoned, Result{Temp, noValue}, Result{Temp, noValue}},
	} {
		m := &Maps{Searcher: always(row.finding), Ours: ours}
		for name, want := range map[string]Result{Sendmail: row.want, SendmailDoor: row.door} {
			got, err := m.Lookup(context.Background(), Query{Map: name, Key: "User+Ext@Example.COM"})
			if got != want || err != nil {
				t.Errorf("%s, %s: %v, %v, want %v", row.name, name, got, err, want)
			}
		}
	}
}

// A value is parsed by Sendmail: quotes, % and octets above 127 mean something to
// it, and it has no room for a long text.
func TestSendmailTexts(t *testing.T) {
	for text, want := range map[string]string{
		"Nobody (of that name":    "Nobody (of that name",
		`no "anna" at C:\mail`:    "no 'anna' at C:/mail",
		"100 %1":                  "100 %%1",
		"Größe":                   "Gr??e",
		"$&{auth_authen} $#error": "$&{auth_authen} $#error",
		strings.Repeat("x", 400):  strings.Repeat("x", maxSendmailText),
		strings.Repeat("%", 400):  strings.Repeat("%%", maxSendmailText),
	} {
		f := reject
		f.Reply.Text = text
		m := &Maps{Searcher: always(f), Ours: ours}
		got, err := m.Lookup(context.Background(), Query{Map: Sendmail, Key: "anna@example.com"})
		if want := fmt.Sprintf(`error:5.1.1:"550 %s"`, want); got != (Result{Found, want}) || err != nil {
			t.Errorf("%s: %v, %v, want %s", text, got, err, want)
		}
	}
}

// What it says of an address that Sendmail may have changed is not final.
func TestSendmailRejectsASCIIOnly(t *testing.T) {
	m := &Maps{Searcher: always(reject), Ours: ours}
	for key, want := range map[string]string{
		"j\u00fcrgen@example.com":  `error:4.1.1:"450 User unknown"`,
		"anna@b\u00fccher.example": `error:5.1.1:"550 User unknown"`, // the domain is ASCII to the hosts
	} {
		if got, err := m.Lookup(context.Background(), Query{Map: Sendmail, Key: key}); got != (Result{Found, want}) || err != nil {
			t.Errorf("%s: %v, %v, want %s", key, got, err, want)
		}
	}
}

// Sendmail's processes wait each for itself, and its door is a door.
func TestSendmailWaitsForTheSearch(t *testing.T) {
	for name, want := range map[string]policy.Request{
		Sendmail:     {Recipient: "anna@example.com", Face: "socketmap", Fresh: true},
		SendmailDoor: {Recipient: "anna@example.com", Face: "socketmap", Door: true},
	} {
		m := &Maps{Searcher: searcherFunc(func(_ context.Context, r policy.Request) (policy.Finding, error) {
			if r != want {
				t.Errorf("%s: asked %+v, want %+v", name, r, want)
			}
			return pass, nil
		}), Ours: ours, Wait: 3 * time.Second}
		if _, err := m.Lookup(context.Background(), Query{Face: "socketmap", Map: name, Key: "anna@example.com"}); err != nil {
			t.Error(err)
		}
	}
}

// Whatever a host has said: between the quotes it stays, and no longer than there
// is room.
func FuzzSendmailText(f *testing.F) {
	for _, text := range []string{"User unknown", `a "quoted" \ text`, "50% of %1", "Größe\x80\xff", "\r\n.\r\n", strings.Repeat("%é", 300)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := sendmailText(text)
		plain := strings.ReplaceAll(got, "%%", "")
		if strings.ContainsAny(plain, "\"\\%") || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q", got)
		}
		if len(strings.ReplaceAll(got, "%%", "%")) > maxSendmailText {
			t.Errorf("%d octets", len(got))
		}
	})
}
