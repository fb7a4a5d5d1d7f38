package policy

import (
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// talkative is a domain whose hosts' words are told.
func talkative() *Domain {
	d := &Domain{Names: []string{"example.com", "example.org"}, AskAs: "inner.example", HostText: true}
	d.SetHosts([]*Host{
		{Name: "mail1.example.net:2525", Names: []string{"mail1.example.net", "exch.corp.example"}},
		{Name: "store", Names: []string{"192.0.2.3"}},
	})
	return d
}

func TestTextOfTheHostsOwnRefusal(t *testing.T) {
	const configured = "550 5.1.1 User unknown"
	long := strings.Repeat("sorry ", 40)
	for _, tt := range []struct {
		said Reply
		want string
	}{
		// Postfix, Sendmail, Exim, OpenSMTPD and others, as they say it.
		{Reply{550, "5.1.1", "<no@inner.example>: Recipient address rejected: User unknown in relay recipient table"}, "550 5.1.1 User unknown in relay recipient table"},
		{Reply{550, "5.1.1", "<No@Example.COM>: Recipient address rejected: Ask our desk"}, "550 5.1.1 Ask our desk"},
		{Reply{550, "5.1.1", "no@inner.example... User unknown"}, "550 5.1.1 User unknown"},
		{Reply{550, "", "Unrouteable address"}, "550 5.1.1 Unrouteable address"},
		{Reply{524, "5.2.4", "Mailbox unavailable: <no@inner.example>"}, "524 5.2.4 Mailbox unavailable:"},
		{Reply{553, "5.1.10", "Recipient not found"}, "553 5.1.10 Recipient not found"},
		{Reply{550, "5.1.1", "He has left.\nSecond line on mail1.example.net"}, "550 5.1.1 He has left."},
		{Reply{550, "5.1.1", "No such user in example.com, nor in Example.ORG."}, "550 5.1.1 No such user in example.com, nor in Example.ORG."},
		{Reply{550, "5.1.1", "two\t  blanks\r"}, "550 5.1.1 two blanks"},
		{Reply{550, "5.1.1", long}, "550 5.1.1 " + strings.TrimSpace(long[:200])},
		// The codes that cannot be told.
		{Reply{521, "5.1.1", "No such user"}, "550 5.1.1 No such user"},
		{Reply{550, "4.1.1", "No such user"}, "550 5.1.1 No such user"},
		{Reply{550, "5.1.1.1", "No such user"}, "550 5.1.1 No such user"},
		// No refusal in words.
		{Reply{}, configured},
		{Reply{0, "", "no@inner.example 2"}, configured},
		{Reply{450, "4.1.1", "Not yet"}, configured},
		{Reply{550, "5.1.1", ""}, configured},
		{Reply{550, "5.1.1", " : <no@inner.example>: "}, configured},
		{Reply{550, "5.1.1", "Empfänger unbekannt"}, configured},
		{Reply{550, "5.1.1", "unknown\x1b[2J"}, configured},
		// The names and addresses of hosts.
		{Reply{550, "5.1.1", "mail1.example.net: no such user"}, configured},
		{Reply{550, "5.1.1", "no such user (MAIL1.Example.Net)"}, configured},
		{Reply{550, "5.1.1", "no such user on mail1"}, configured},
		{Reply{550, "5.1.1", "no such user on mail1-in"}, configured},
		{Reply{550, "5.1.1", "exch: no such user"}, configured},
		{Reply{550, "5.1.1", "not in the Store."}, configured},
		{Reply{550, "5.1.1", "no such user at mail2.example.net"}, configured},
		{Reply{550, "5.1.1", "[node7.cluster.internal] no such user"}, configured},
		{Reply{550, "5.1.1", "no such user in inner.example"}, configured},
		{Reply{550, "5.1.1", "another@inner.example is unknown"}, configured},
		{Reply{550, "5.1.1", "no such user at 10.0.0.7"}, configured},
		{Reply{550, "5.1.1", "no such user at ip-10-0-0-7"}, configured},
		{Reply{550, "5.1.1", "no such user at [IPv6:2001:db8::7]"}, configured},
		{Reply{550, "5.1.1", "no such user at ::1"}, configured},
		{Reply{550, "5.1.1", long + "mail1"}, configured},
		{Reply{550, "5.1.1", "no such user on mai<no@inner.example>l1"}, configured},
		// A word that a host's name is part of is none.
		{Reply{550, "5.1.1", "restored, not stored"}, "550 5.1.1 restored, not stored"},
	} {
		r := refusal{said: tt.said, about: []Address{mustParse(t, "no@inner.example"), mustParse(t, "no@example.com")}, domain: talkative()}
		if got := r.told(rejectReply).String(); got != tt.want {
			t.Errorf("%q:\ngot  %q\nwant %q", tt.said, got, tt.want)
		}
	}
}

func TestCarefulConfigurationIsNotOverruled(t *testing.T) {
	careful := Reply{Code: 450, Enhanced: "4.1.1", Text: "Later"}
	r := refusal{said: Reply{550, "5.1.1", "No such user"}, domain: talkative()}
	if got := r.told(careful); got != careful {
		t.Errorf("got %v", got)
	}
}

var secrets = regexp.MustCompile(`(?i)mail1|exch\b|\bstore\b|corp|inner\.example|\d+\.\d+\.\d+\.\d+`)

func TestNoHostIsEverNamed(t *testing.T) {
	pieces := rapid.SampledFrom([]string{
		"mail1", "mail1.example.net", "MAIL1", "exch.corp.example", "store", "192.0.2.3", "inner.example", "<no@inner.example>", "no@inner.example",
		"<", ">", " ", " ", ".", ":", "-", "@", "user unknown", "Recipient address rejected:", "\n", "\x00", "ü", "no", "example.com", "example.net",
	})
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(pieces, 0, 12).Draw(t, "text"), "")
		a, _ := ParseAddress("no@inner.example")
		got := refusal{said: Reply{550, "5.1.1", text}, about: []Address{a}, domain: talkative()}.told(rejectReply)
		if got.Text == "" || len(got.Text) > maxHostText || !printableLine.MatchString(got.Text) || got.Code != 550 {
			t.Errorf("%q became %q", text, got)
		}
		if word := secrets.FindString(got.Text); word != "" && !regexp.MustCompile(`(?i)[a-z0-9]`+regexp.QuoteMeta(word)+`|`+regexp.QuoteMeta(word)+`[a-z0-9]`).MatchString(got.Text) {
			t.Errorf("%q became %q, which names %s", text, got.Text, word)
		}
	})
}

func TestRejectTellsTheTextOfThePreferredHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := func(text string) Answer { return Answer{Says: No, Reply: Reply{550, "5.1.1", text}} }
		mail1, mail2 := newHost("mail1").always(no("<x@example.com>: He has left")), newHost("mail2").always(no("Unknown here"))
		d := &Domain{Names: []string{"example.com"}, HostText: true}
		s := newSiteOf(t, d, mail1, mail2)
		for _, source := range []string{SourceSearch, SourceMemory} {
			f := s.look(t, "x@example.com")
			wantVerdict(t, f, Reject)
			if f.Source != source || f.Reply.String() != "550 5.1.1 He has left" {
				t.Errorf("%q from %q", f.Reply, f.Source)
			}
		}
		mail2.down()
		f := s.look(t, "y@example.com")
		wantVerdict(t, f, Defer)
		if f.Reply != deferReply {
			t.Errorf("told %q", f.Reply)
		}
	})
}
