package policy

import (
	"net/netip"
	"testing"
)

func pattern(t *testing.T, s string) Pattern {
	t.Helper()
	p, err := ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBypass(t *testing.T) {
	b := &Bypass{
		Networks:      []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")},
		Authenticated: true,
		Senders:       []Pattern{pattern(t, "Boss@Partner.example"), pattern(t, "friends.example"), pattern(t, "<>")},
		Recipients:    []Pattern{pattern(t, "abuse@"), pattern(t, "bücher.example")},
	}
	to := func(s string) Address {
		a, err := ParseAddress(s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for name, row := range map[string]struct {
		r    Request
		to   string
		past bool
	}{
		"nothing":                   {Request{}, "anna@example.com", false},
		"network":                   {Request{Client: "192.0.2.99"}, "anna@example.com", true},
		"network, mapped":           {Request{Client: "::ffff:192.0.2.99"}, "anna@example.com", true},
		"network, IPv6":             {Request{Client: "2001:db8::1%eth0"}, "anna@example.com", true},
		"another network":           {Request{Client: "192.0.3.1"}, "anna@example.com", false},
		"client without address":    {Request{Client: "unknown"}, "anna@example.com", false},
		"authenticated":             {Request{User: "anna"}, "anna@example.com", true},
		"sender":                    {Request{Sender: "boss@partner.example"}, "anna@example.com", true},
		"sender, case":              {Request{Sender: "BOSS@PARTNER.EXAMPLE"}, "anna@example.com", true},
		"sender, quoted":            {Request{Sender: `"boss"@partner.example`}, "anna@example.com", true},
		"sender's domain":           {Request{Sender: "x@friends.example"}, "anna@example.com", true},
		"sender's subdomain":        {Request{Sender: "x@not.friends.example"}, "anna@example.com", false},
		"another of that domain":    {Request{Sender: "clerk@partner.example"}, "anna@example.com", false},
		"null sender":               {Request{Sender: NullSender}, "anna@example.com", true},
		"sender not known":          {Request{Sender: ""}, "anna@example.com", false},
		"sender that is no address": {Request{Sender: "root"}, "anna@example.com", false},
		"recipient":                 {Request{}, "Abuse@example.com", true},
		"recipient's domain":        {Request{}, "x@xn--bcher-kva.example", true},
	} {
		row.r.Door = true
		if got := b.reason(row.r, to(row.to)); (got != "") != row.past {
			t.Errorf("%s: let in because %q, want it %v", name, got, row.past)
		}
		row.r.Door = false
		if got := b.reason(row.r, to(row.to)); got != "" {
			t.Errorf("%s: not at the door, and yet let in because %q", name, got)
		}
	}
	for name, none := range map[string]*Bypass{"nil": nil, "zero": {}} {
		r := Request{Client: "192.0.2.99", User: "anna", Sender: NullSender, Door: true}
		if got := none.reason(r, to("abuse@example.com")); got != "" {
			t.Errorf("%s: let in because %q", name, got)
		}
	}
}

func TestNoPattern(t *testing.T) {
	for _, s := range []string{"", "@", "@example.com", "a b.example", "a@b..c", "user@exa mple", "\x00@"} {
		if p, err := ParsePattern(s); err == nil {
			t.Errorf("%q is %+v", s, p)
		}
	}
}

// Who gets past is let in without a question, at the door alone; an address that
// nobody can be asked about is not.
func TestBypassAsksNobody(t *testing.T) {
	mail1 := newHost("mail1", "anna@example.com")
	s := newSite(t, mail1)
	s.opt.Bypass = &Bypass{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	r := atDoor("nobody@example.com")
	r.Client = "192.0.2.1"
	wantLetIn(t, s.ask(t, r))
	r.Recipient = "a\x01b@example.com"
	wantVerdict(t, s.ask(t, r), Defer)
	r.Recipient = "x@elsewhere.example"
	if f := s.ask(t, r); f.Verdict != Pass || f.LetIn {
		t.Errorf("not ours, and yet let in: %+v", f)
	}
	wantAsked(t, 0, mail1)
	wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
}
