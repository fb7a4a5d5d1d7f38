package table

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"postwhere/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type searcherFunc func(context.Context, policy.Request) (policy.Finding, error)

func (f searcherFunc) Search(ctx context.Context, r policy.Request) (policy.Finding, error) {
	return f(ctx, r)
}

// always finds f, about the recipient that it is asked for.
func always(f policy.Finding) searcherFunc {
	return func(_ context.Context, r policy.Request) (policy.Finding, error) {
		f.Address, _ = policy.ParseAddress(r.Recipient)
		return f, nil
	}
}

func ours(name string) bool { return name == "example.com" || name == "xn--bcher-kva.example" }

var (
	host     = &policy.Host{Name: "mail1.example.net", Route: "smtp:[mail1.example.net]:25", Mailer: "esmtp:[mail1.example.net]", AliasDomain: "mail1.invalid"}
	deliver  = policy.Finding{Verdict: policy.Deliver, Host: host}
	reject   = policy.Finding{Verdict: policy.Reject, Reply: policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "User unknown"}}
	later    = policy.Finding{Verdict: policy.Defer, Reply: policy.Reply{Code: 450, Enhanced: "4.4.1", Text: "no answer"}}
	pass     = policy.Finding{Verdict: policy.Pass}
	letInOne = policy.Finding{Verdict: policy.Pass, LetIn: true}
	careful  = policy.Finding{Verdict: policy.Reject, Reply: policy.Reply{Code: 450, Enhanced: "4.1.1", Text: "User unknown"}}
	harsh    = policy.Finding{Verdict: policy.Defer, Reply: reject.Reply} // a finding that must never be
	nobody   = policy.Finding{Verdict: policy.Deliver}
	nowhere  = policy.Finding{Verdict: policy.Deliver, Host: &policy.Host{}}
	poisoned = policy.Finding{Verdict: policy.Deliver, Host: &policy.Host{Name: "a\nb", Route: "smtp:x\r\n", Mailer: "esmtp:x\n", AliasDomain: "a\x00b"}}
)

const noValue = "the mailbox's host has no value for this map"

func TestLookup(t *testing.T) {
	for _, row := range []struct {
		name    string
		finding policy.Finding
		want    map[string]Result
	}{
		{"deliver", deliver, map[string]Result{
			Transport: {Found, "smtp:[mail1.example.net]:25"},
			Recipient: {Found, "mail1.example.net"},
			Alias:     {Found, "User+Ext@mail1.invalid"},
		}},
		{"reject", reject, map[string]Result{
			Transport: {Found, "error:5.1.1 User unknown"},
			Recipient: {NotFound, ""},
			Alias:     {NotFound, ""},
		}},
		{"defer", later, map[string]Result{
			Transport: {Found, "retry:4.4.1 no answer"},
			Recipient: {Temp, "4.4.1 no answer"},
			Alias:     {Temp, "4.4.1 no answer"},
		}},
		{"pass", pass, map[string]Result{
			Transport: {NotFound, ""},
			Recipient: {NotFound, ""},
			Alias:     {NotFound, ""},
		}},
		{"let in unsure", letInOne, map[string]Result{
			Transport: {Found, "retry:4.4.1 Mailbox cannot be located now, try again later"},
			Recipient: {Found, "unsure"},
			Alias:     {Temp, "4.4.1 Mailbox cannot be located now, try again later"},
		}},
		{"reject with 4xx", careful, map[string]Result{
			Transport: {Found, "retry:4.1.1 User unknown"},
			Recipient: {Temp, "4.1.1 User unknown"},
			Alias:     {Temp, "4.1.1 User unknown"},
		}},
		{"defer with 5xx", harsh, map[string]Result{
			Transport: {Found, "retry:4.4.1 User unknown"},
			Recipient: {Temp, "4.4.1 User unknown"},
			Alias:     {Temp, "4.4.1 User unknown"},
		}},
		{"deliver without a host", nobody, map[string]Result{
			Transport: {Temp, noValue}, Recipient: {Temp, noValue}, Alias: {Temp, noValue},
		}},
		{"deliver to a host without values", nowhere, map[string]Result{
			Transport: {Temp, noValue}, Recipient: {Temp, noValue}, Alias: {Temp, noValue},
		}},
		{"values with control characters", poisoned, map[string]Result{
			Transport: {Temp, noValue}, Recipient: {Temp, noValue}, Alias: {Temp, noValue},
		}},
	} {
		m := &Maps{Searcher: always(row.finding), Ours: ours}
		for name, want := range row.want {
			got, err := m.Lookup(context.Background(), Query{Map: name, Key: "User+Ext@Example.COM"})
			if got != want || err != nil {
				t.Errorf("%s, %s: %v, %v, want %v", row.name, name, got, err, want)
			}
		}
	}
}

func TestAliasKeepsTheLocalPart(t *testing.T) {
	m := &Maps{Searcher: always(deliver), Ours: ours}
	for key, want := range map[string]string{
		"anna@example.com":          "anna@mail1.invalid",
		"Anna+Lists@example.com":    "Anna+Lists@mail1.invalid",
		`"a b"@example.com`:         `"a b"@mail1.invalid`,
		"a b@example.com":           `"a b"@mail1.invalid`,
		`"a,b\"c"@example.com`:      `"a,b\"c"@mail1.invalid`,
		`"anna"@example.com`:        "anna@mail1.invalid",
		"ünna@bücher.example":       "ünna@mail1.invalid",
		"100%@example.com":          "100%@mail1.invalid",
		`"x@elsewhere"@example.com`: `"x@elsewhere"@mail1.invalid`,
	} {
		got, err := m.Lookup(context.Background(), Query{Map: Alias, Key: key})
		if err != nil || got != (Result{Found, want}) {
			t.Errorf("%s: %v, %v, want %s", key, got, err, want)
		}
	}
}

func TestDomain(t *testing.T) {
	m := &Maps{Searcher: nil, Ours: ours} // a search would panic
	for key, want := range map[string]Result{
		"example.com":            {Found, "example.com"},
		"Example.COM.":           {Found, "example.com"},
		"bücher.example":         {Found, "xn--bcher-kva.example"},
		".example.com":           {Status: NotFound},
		"sub.example.com":        {Status: NotFound},
		"com":                    {Status: NotFound},
		"anna@example.com":       {Status: NotFound},
		"":                       {Status: NotFound},
		".":                      {Status: NotFound},
		"*":                      {Status: NotFound},
		"[192.0.2.1]":            {Status: NotFound},
		"example.com\x00":        {Status: NotFound},
		strings.Repeat("a", 1e5): {Status: NotFound},
	} {
		if got, err := m.Lookup(context.Background(), Query{Map: Domain, Key: key}); got != want || err != nil {
			t.Errorf("%.20q: %v, %v, want %v", key, got, err, want)
		}
	}
}

func TestWhatIsNoAddressIsNotSearched(t *testing.T) {
	m := &Maps{Searcher: nil, Ours: ours} // a search would panic
	for _, name := range []string{Transport, Recipient, Alias, Sendmail, SendmailDoor} {
		for _, key := range []string{"*", "", "anna", "example.com", ".example.com", "\x00", "\xff"} {
			if got, err := m.Lookup(context.Background(), Query{Map: name, Key: key}); got != (Result{Status: NotFound}) || err != nil {
				t.Errorf("%s, %q: %v, %v", name, key, got, err)
			}
		}
	}
}

func TestUnknownMap(t *testing.T) {
	m := &Maps{Searcher: nil, Ours: ours}
	for _, name := range []string{"", "Transport", "route", strings.Repeat("x", 1e5)} {
		_, err := m.Lookup(context.Background(), Query{Map: name, Key: "anna@example.com"})
		if !errors.Is(err, ErrUnknownMap) || len(err.Error()) > 300 {
			t.Errorf("%.20q: %v", name, err)
		}
	}
}

func TestRequestOfTheSearch(t *testing.T) {
	var got policy.Request
	m := &Maps{
		Searcher: searcherFunc(func(_ context.Context, r policy.Request) (policy.Finding, error) {
			got = r
			return pass, nil
		}),
		Ours: ours,
		Wait: 3 * time.Second,
	}
	if _, err := m.Lookup(context.Background(), Query{Face: "socketmap", Map: Transport, Key: `"A b"@Example.COM`}); err != nil {
		t.Fatal(err)
	}
	if want := (policy.Request{Recipient: `"A b"@Example.COM`, Face: "socketmap", Fresh: true, Wait: 3 * time.Second}); got != want {
		t.Errorf("asked %+v, want %+v", got, want)
	}
}

// A bounce needs a fresh no; who is told so at the door can try again.
func TestOnlyTheMapsOfDeliveryWantAFreshNo(t *testing.T) {
	for name, want := range map[string]bool{Transport: true, Recipient: false, Alias: false, Sendmail: true, SendmailDoor: false} {
		m := &Maps{Searcher: searcherFunc(func(_ context.Context, r policy.Request) (policy.Finding, error) {
			if r.Fresh != want || r.Unquoted {
				t.Errorf("%s: asked %+v", name, r)
			}
			return pass, nil
		}), Ours: ours}
		if _, err := m.Lookup(context.Background(), Query{Map: name, Key: "anna@example.com"}); err != nil {
			t.Error(err)
		}
	}
}

// smtpd folds the keys of these maps by Unicode's rules, a host may not.
func TestRejectOfANonASCIIKeyIsTemporaryInTheMapsThatSmtpdFoldsFor(t *testing.T) {
	m := &Maps{Searcher: always(reject), Ours: ours}
	for key, want := range map[string]Result{
		"j\u00fcrgen@example.com":    {Temp, "5.1.1 User unknown"},
		"\u017fam@example.com":       {Temp, "5.1.1 User unknown"},
		"anna@example.com":           {Status: NotFound},
		"anna@b\u00fccher.example":   {Status: NotFound}, // the domain is ASCII to the hosts
		"anna@xn--bcher-kva.example": {Status: NotFound},
		"\"anna maria\"@example.com": {Status: NotFound},
	} {
		for _, name := range []string{Recipient, Alias} {
			got, err := m.Lookup(context.Background(), Query{Map: name, Key: key})
			if got != want || err != nil {
				t.Errorf("%s, %s: %v, %v, want %v", name, key, got, err, want)
			}
		}
	}
	if got, _ := m.Lookup(context.Background(), Query{Map: Transport, Key: "j\u00fcrgen@example.com"}); got.Status == Temp {
		t.Errorf("%s: %v", Transport, got)
	}
}

func TestOwnFaultIsTemporary(t *testing.T) {
	var log bytes.Buffer
	m := &Maps{
		Searcher: searcherFunc(func(context.Context, policy.Request) (policy.Finding, error) {
			return deliver, errors.New("secret of the house")
		}),
		Ours: ours,
		Log:  slog.New(slog.NewTextHandler(&log, nil)),
	}
	for _, name := range []string{Transport, Recipient, Alias, Sendmail, SendmailDoor} {
		log.Reset()
		got, err := m.Lookup(context.Background(), Query{Face: "tcp", Map: name, Key: "anna@example.com"})
		if got != (Result{Temp, "internal error"}) || err != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		for _, part := range []string{"level=ERROR", "face=tcp", "map=" + name, "key=anna@example.com", "secret of the house"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("log %q lacks %q", log.String(), part)
			}
		}
	}
}

// Whatever the core finds: no value is empty or more than a line, mail for our
// domains is never sent to their MX, and nothing is refused but by a Reject.
func TestResultIsSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z:\[\]]*`))
		f := policy.Finding{
			Verdict: policy.Verdict(rapid.Byte().Draw(t, "verdict")),
			LetIn:   rapid.Bool().Draw(t, "let in"),
			Reply: policy.Reply{
				Code:     rapid.IntRange(-1, 999).Draw(t, "code"),
				Enhanced: rapid.StringMatching(`([245]\.[0-9]\.[0-9])?`).Draw(t, "enhanced"),
				Text:     text.Draw(t, "text"),
			},
		}
		if rapid.Bool().Draw(t, "has host") {
			f.Host = &policy.Host{Name: text.Draw(t, "name"), Route: text.Draw(t, "route"), Mailer: text.Draw(t, "mailer"), AliasDomain: text.Draw(t, "alias")}
		}
		q := Query{
			Map: rapid.SampledFrom([]string{Transport, Recipient, Alias, Domain, Sendmail, SendmailDoor}).Draw(t, "map"),
			Key: rapid.String().Draw(t, "local") + "@example.com",
		}
		m := &Maps{Searcher: always(f), Ours: ours}
		got, err := m.Lookup(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(got.Text, "\r\n\x00") || (got.Text == "") != (got.Status == NotFound) {
			t.Errorf("%v", got)
		}
		if q.Map == Domain {
			return
		}
		refused := got.Status == NotFound && q.Map == Recipient || strings.HasPrefix(got.Text, "error:") && !strings.HasPrefix(got.Text, "error:4") && f.Verdict != policy.Deliver
		foreign := f.Verdict == policy.Pass && !f.LetIn
		if refused && f.Verdict != policy.Reject && !foreign {
			t.Errorf("%v is refused: %v", f.Verdict, got)
		}
		if q.Map != Recipient && q.Map != Alias && got.Status == NotFound && !foreign {
			t.Errorf("%v goes to the MX", f.Verdict)
		}
	})
}
