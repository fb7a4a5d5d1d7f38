package policy

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func atDoor(recipient string) Request { return Request{Recipient: recipient, Door: true} }

func letting() *Domain { return &Domain{Names: []string{"example.com"}, PassUnsure: true} }

func wantLetIn(t *testing.T, f Finding) {
	t.Helper()
	wantVerdict(t, f, Pass)
	if !f.LetIn || f.Why == "" || f.Reply != (Reply{}) {
		t.Errorf("let in %v because %q, client is told %v", f.LetIn, f.Why, f.Reply)
	}
}

func TestUnsureRecipientIsLetInAtTheDoorAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1", "anna@example.com"), newHost("mail2").down()
		s := newSiteOf(t, letting(), mail1, mail2)
		for range 2 {
			wantLetIn(t, s.ask(t, atDoor("nobody@example.com")))
			f := s.look(t, "nobody@example.com") // at delivery its mail must wait
			wantVerdict(t, f, Defer)
			if f.LetIn || f.Reply != deferReply {
				t.Errorf("let in %v, told %v", f.LetIn, f.Reply)
			}
		}
		wantVerdict(t, s.ask(t, atDoor("anna@example.com")), Deliver)

		time.Sleep(unsureExpire)
		mail2.has()
		f := s.ask(t, atDoor("nobody@example.com"))
		wantVerdict(t, f, Reject)
		if f.Reply != rejectReply {
			t.Errorf("told %v", f.Reply)
		}
	})
}

func TestWhoeverCannotBeWaitedForIsLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOf(t, letting(), newHost("mail1").takes(1500*ms))
		r := atDoor("nobody@example.com")
		r.Wait = time.Second
		wantLetIn(t, s.ask(t, r))
		wantVerdict(t, s.ask(t, r), Reject)
		s.domain.SetHosts(nil)
		wantLetIn(t, s.ask(t, r))
	})
}

func TestOnlyWhomTheHostsAreUnsureAboutIsLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOf(t, letting(), newHost("mail1").down())
		for _, recipient := range []string{"x@elsewhere.example", "nonsense", ""} {
			if f := s.ask(t, atDoor(recipient)); f.Verdict != Pass || f.LetIn {
				t.Errorf("%q: %v, let in %v", recipient, f.Verdict, f.LetIn)
			}
		}
		wantVerdict(t, s.ask(t, atDoor("an\x00na@example.com")), Defer) // it could never be delivered
	})
	synctest.Test(t, func(t *testing.T) {
		strict := newSite(t, newHost("mail1").down())
		wantVerdict(t, strict.ask(t, atDoor("nobody@example.com")), Defer)
	})
}

func TestOwnFaultIsNotLetIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &faulty{shelf: newShelf()}
		m.breaks("Recall.")
		d := letting()
		d.SetHosts(listOf(newHost("mail1").down()))
		s := newTestSearcher(t, m, d)
		if f, err := s.Search(t.Context(), atDoor("anna@example.com")); err == nil || f.LetIn || f.Verdict == Pass {
			t.Errorf("%v, let in %v, %v", f.Verdict, f.LetIn, err)
		}
	})
}

// Those who ask one question together are each told as befits them.
func TestAskersAtTheDoorAndBehindItJoinOneSearch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1").down().takes(time.Second)
		s := newSiteOf(t, letting(), mail1)
		verdicts := make(chan Verdict, 1)
		go func() {
			f, _ := s.Search(t.Context(), Request{Recipient: "anna@example.com"})
			verdicts <- f.Verdict
		}()
		synctest.Wait()
		wantLetIn(t, s.ask(t, atDoor("anna@example.com")))
		if v := <-verdicts; v != Defer {
			t.Errorf("at delivery: %v", v)
		}
		wantAsked(t, 1, mail1)
	})
}

func TestVRFYByAHostOfTheDomainIsPassedWithoutASearch(t *testing.T) {
	own := netip.MustParseAddr("192.0.2.1")
	own6 := netip.MustParseAddr("2001:db8::1")
	for _, tt := range []struct {
		state, client string
		want          Verdict
	}{
		{"VRFY", "192.0.2.1", Pass},
		{"VRFY", "::ffff:192.0.2.1", Pass},
		{"VRFY", "2001:db8:0::1", Pass},
		{"VRFY", "2001:db8::1%eth0", Pass},
		{"VRFY", "192.0.2.2", Reject},
		{"VRFY", "unknown", Reject},
		{"VRFY", "", Reject},
		{"RCPT", "192.0.2.1", Reject},
		{"", "192.0.2.1", Reject},
	} {
		synctest.Test(t, func(t *testing.T) {
			mail1, mail2 := newHost("mail1"), newHost("mail2")
			s := newSiteOf(t, letting(), mail1, mail2)
			hosts := listOf(mail1, mail2) // the first one's addresses are not known
			hosts[1].Addresses = func(ip netip.Addr) bool { return ip == own || ip == own6 }
			s.domain.SetHosts(hosts)
			f := s.ask(t, Request{Recipient: "anna@example.com", State: tt.state, Client: tt.client, Door: true})
			if f.Verdict != tt.want || f.LetIn {
				t.Errorf("%s by %q: %v, want %v", tt.state, tt.client, f.Verdict, tt.want)
			}
			if tt.want == Pass {
				wantAsked(t, 0, mail1, mail2)
			}
		})
	}
}
