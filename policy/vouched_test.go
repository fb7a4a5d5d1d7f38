package policy

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// doubtable makes the host at that index of a site's domain one whose noes about a domain may
// lose their credit, those that are from then or before, and returns how that is done.
func (s *site) doubtable(i int) (doubt func()) {
	var until atomic.Pointer[time.Time]
	s.domain.Hosts()[i].Revoked = func(domain string, no time.Time) bool {
		at := until.Load()
		return at != nil && domain == s.domain.AsksAbout() && !no.After(*at)
	}
	return func() {
		now := time.Now()
		until.Store(&now)
	}
}

// A directory is broken, and nobody knows it yet: what it denied until then is no longer
// believed when it is known.
func TestRememberedNoThatIsNotBelievedAnyMoreRefusesNobody(t *testing.T) {
	for _, recipient := range []string{"anna@example.com", "anna+ext@example.com", "anna@example.org"} {
		for place := range 2 {
			synctest.Test(t, func(t *testing.T) {
				hosts := []*mailHost{newHost("mail1"), newHost("mail2")}
				d := &Domain{Names: []string{"example.com", "example.org"}, AskAs: "inner.example", Delimiter: "+"}
				s := newSiteOf(t, d, hosts...)
				doubt := s.doubtable(place)
				wantVerdict(t, s.look(t, recipient), Reject)
				time.Sleep(time.Minute)
				wantVerdict(t, s.look(t, recipient), Reject)
				hosts[place].has("anna@inner.example")
				doubt()
				time.Sleep(ms)
				wantDeliver(t, s.look(t, recipient), hosts[place], SourceSearch)
			})
		}
	}
}

// What is believed again is asked for once.
func TestNoThatIsNotBelievedAnyMoreIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		doubt := s.doubtable(0)
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		doubt()
		time.Sleep(time.Second)
		wantAsked(t, 1, mail1, mail2)
		for range 3 {
			wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		}
		wantAsked(t, 1, mail1, mail2)
	})
}

// Nor does a no that was given while the search goes on.
func TestNoThatLosesItsCreditDuringASearchRefusesNobody(t *testing.T) {
	for _, recipient := range []string{"anna@example.com", "anna+ext@example.com"} {
		for _, after := range []time.Duration{time.Second, 3 * time.Second} { // the search for the base begins at 2 s
			synctest.Test(t, func(t *testing.T) {
				mail1, mail2 := newHost("mail1"), newHost("mail2").takes(2*time.Second)
				s := newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: "+"}, mail1, mail2)
				doubt := s.doubtable(0)
				time.AfterFunc(after, doubt)
				f := s.look(t, recipient)
				if over := after > 2*time.Second && recipient == "anna@example.com"; over {
					wantVerdict(t, f, Reject)
					return
				}
				wantVerdict(t, f, Defer)
			})
		}
	}
}

// A no which is remembered makes no delivery to the last resort either.
func TestLastResortGetsNothingByANoThatIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, last := newHost("mail1"), newHost("last").down().takes(2*time.Second)
		s := newSite(t, mail1, last)
		s.domain.Hosts()[1].LastResort = true
		doubt := s.doubtable(0)
		wantDeliver(t, s.look(t, "anna@example.com"), last, SourceSearch)
		time.Sleep(time.Minute)
		doubt()
		mail1.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

// Between the search for user+ext and the one for user a host may lose its credit.
func TestNoToTheFullAddressMayLoseItsCreditBeforeTheBaseIsAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1")
		s := newSiteOf(t, &Domain{Names: []string{"example.com"}, Delimiter: "+"}, mail1)
		wantVerdict(t, s.look(t, "anna+ext@example.com"), Reject)
		full := time.Now()
		time.Sleep(time.Second)
		s.memory.Keep(AddressOf("anna", "example.com"), nil)
		looked := false
		s.domain.Hosts()[0].Revoked = func(_ string, no time.Time) bool {
			if !no.Equal(full) {
				return false
			}
			defer func() { looked = true }()
			return looked
		}
		wantVerdict(t, s.look(t, "anna+ext@example.com"), Defer)
	})
}

// A no that is remembered is asked for again when nothing vouches for it any more; one that has
// just been given need not be vouched for again.
func TestRememberedNoForWhichNothingVouchesIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		var vouches atomic.Bool
		s.domain.Hosts()[1].Vouched = func(domain string, _, _ time.Time) bool { return domain == "example.com" && vouches.Load() }
		for range 3 {
			wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
			wantAsked(t, 1, mail1, mail2)
		}
		vouches.Store(true)
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		wantAsked(t, 0, mail1, mail2)
	})
}
