package server

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"postwhere/policy"
)

func TestReply(t *testing.T) {
	const (
		unknown = "550 5.1.1 User unknown"
		later   = "450 4.4.1 Mailbox cannot be located now, try again later"
	)
	for _, row := range []struct {
		verdict policy.Verdict
		reply   policy.Reply
		want    string
	}{
		{policy.Reject, policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "No such user"}, "550 5.1.1 No such user"},
		{policy.Reject, policy.Reply{Code: 551, Enhanced: "5.1.6", Text: "Moved"}, "551 5.1.6 Moved"},
		{policy.Reject, policy.Reply{Code: 450, Enhanced: "4.1.1", Text: "No such user"}, "450 4.1.1 No such user"},
		{policy.Defer, policy.Reply{Code: 451, Enhanced: "4.3.0", Text: "Later"}, "451 4.3.0 Later"},

		{policy.Reject, policy.Reply{}, unknown},
		{policy.Reject, policy.Reply{Code: 250, Enhanced: "2.1.5"}, unknown},
		{policy.Reject, policy.Reply{Code: 550}, unknown},
		{policy.Reject, policy.Reply{Code: 521, Enhanced: "5.1.1"}, unknown},
		{policy.Reject, policy.Reply{Code: 550, Enhanced: "4.1.1"}, unknown},
		{policy.Reject, policy.Reply{Code: 550, Enhanced: "5.1", Text: "\r\n"}, unknown},
		{policy.Reject, policy.Reply{Code: 450, Enhanced: "5.1.1"}, "450 4.1.1 User unknown"},
		{policy.Reject, policy.Reply{Code: 550, Enhanced: "5.1.1", Text: "No\r\nsuch\nuser\x00"}, "550 5.1.1 No such user"},

		{policy.Defer, policy.Reply{}, later},
		{policy.Defer, policy.Reply{Code: 550, Enhanced: "5.1.1"}, later},
		{policy.Defer, policy.Reply{Code: 421, Enhanced: "4.4.1"}, later},
		{policy.Defer, policy.Reply{Code: 450, Enhanced: "4.4.1\nx"}, later},
		{policy.Defer, policy.Reply{Code: 450, Enhanced: "4.04.1"}, later},
		{policy.Deliver, policy.Reply{Code: 550, Enhanced: "5.1.1"}, later},
		{7, policy.Reply{Code: 550, Enhanced: "5.1.1"}, later},
	} {
		if got := Reply(policy.Finding{Verdict: row.verdict, Reply: row.reply}).String(); got != row.want {
			t.Errorf("%v %+v: %q, want %q", row.verdict, row.reply, got, row.want)
		}
	}
}

func TestReplyIsFitToBeTold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := policy.Finding{
			Verdict: policy.Verdict(rapid.Byte().Draw(t, "verdict")),
			Reply: policy.Reply{
				Code:     rapid.IntRange(-100, 1000).Draw(t, "code"),
				Enhanced: rapid.OneOf(rapid.String(), rapid.StringMatching(`[245]\.[0-9]{1,4}\.[0-9]{1,4}`)).Draw(t, "enhanced"),
				Text:     rapid.String().Draw(t, "text"),
			},
		}
		r := Reply(f)
		switch class := r.Code / 100; {
		case class != 4 && class != 5, class == 5 && f.Verdict != policy.Reject:
			t.Errorf("code %d", r.Code)
		case !isEnhanced(r.Enhanced) || int(r.Enhanced[0]-'0') != class:
			t.Errorf("code %d, enhanced code %q", r.Code, r.Enhanced)
		}
		if r.Text == "" || len(r.Text) > maxText || strings.ContainsAny(r.Text, "\r\n\x00") || !utf8.ValidString(r.Text) {
			t.Errorf("text %q", r.Text)
		}
	})
}
