package policy

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// decideWith is what the documents say of a last resort, in their words: an oracle
// for Decide. last is its place, -1: there is none.
func decideWith(words []string, last int) (Verdict, int) {
	v, owner := decide(words)
	if v != Defer || last < 0 || len(words) < 2 || words[last] != "unsure" {
		return v, owner
	}
	others := slices.Delete(slices.Clone(words), last, last+1)
	if v, _ := decide(others); v != Reject {
		return Defer, -1
	}
	return Deliver, last
}

func TestDecideAgreesWithTheOracle(t *testing.T) {
	words := []string{"unasked", "yes", "weak yes", "no", "no", "no", "unsure", "unsure"}
	rapid.Check(t, func(t *rapid.T) {
		says := rapid.SliceOfN(rapid.SampledFrom(words), 0, 5).Draw(t, "answers")
		last := rapid.IntRange(-1, len(says)-1).Draw(t, "last resort")
		hosts, answers := make([]*Host, len(says)), make([]Answer, len(says))
		for i, w := range says {
			hosts[i], answers[i] = &Host{LastResort: i == last}, said[w]
		}
		wantV, wantOwner := decideWith(says, last)
		if v, owner := Decide(hosts, answers); v != wantV || owner != wantOwner {
			t.Errorf("Decide(%q, last resort %d) = %v, %d, want %v, %d", says, last, v, owner, wantV, wantOwner)
		}
	})
}

// By MX two hosts may be the last resort: no one of them is while the other does
// not say no.
func TestTwoLastResortsDoNotOwnWhatEitherMayHave(t *testing.T) {
	two := []*Host{{LastResort: true}, {LastResort: true}}
	unsure, no := Answer{Says: Unsure}, Answer{Says: No}
	if v, owner := Decide(two, []Answer{unsure, unsure}); v != Defer || owner != -1 {
		t.Errorf("%v, %d", v, owner)
	}
	if v, owner := Decide(two, []Answer{no, unsure}); v != Deliver || owner != 1 {
		t.Errorf("%v, %d", v, owner)
	}
	if v, owner := Decide(two[:1], []Answer{no, unsure}); v != Defer || owner != -1 {
		t.Errorf("answers of other hosts: %v, %d", v, owner)
	}
}

// newSiteWithLast returns a site whose last host is the last resort.
func newSiteWithLast(t *testing.T, d *Domain, hosts ...*mailHost) *site {
	t.Helper()
	s := newSiteOf(t, d, hosts...)
	s.domain.SetHosts(withLast(hosts...))
	return s
}

func withLast(hosts ...*mailHost) []*Host {
	list := listOf(hosts...)
	list[len(list)-1].LastResort = true
	return list
}

func example() *Domain { return &Domain{Names: []string{"example.com"}} }

func wantLastResort(t *testing.T, f Finding, host *mailHost, source string) {
	t.Helper()
	wantDeliver(t, f, host, source)
	if !f.LastResort || f.Why == "" {
		t.Errorf("last resort %v because %q", f.LastResort, f.Why)
	}
}

// A last resort may be unsure: what keeps the mail waiting is another host that is.
func TestLastResortIsNotWhyAnotherHostDefers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last, other := newHost("old"), newHost("mail2")
		last.always(Answer{Says: Unsure, Why: "accepts everything"})
		other.always(Answer{Says: Unsure, Why: "421"})
		s := newSite(t, last, newHost("mail1"), other)
		s.domain.Hosts()[0].LastResort = true
		for _, source := range []string{SourceSearch, SourceMemory} {
			f := s.look(t, "bert@example.com")
			wantVerdict(t, f, Defer)
			if f.Source != source || f.Why != "mail2: 421" {
				t.Errorf("from %s, because %q", f.Source, f.Why)
			}
		}
	})
}

func TestLastResortOwnsWhatNoOtherHas(t *testing.T) {
	for name, says := range map[string]func(*mailHost){
		"accepts everything": func(h *mailHost) { h.always(Answer{Says: Unsure, Why: "accepts everything"}) },
		"is down":            func(h *mailHost) { h.down() },
		"hangs":              func(h *mailHost) { h.silent() },
		"has a bug of ours":  func(h *mailHost) { h.does(func(Address) Answer { panic("a bug") }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mail1, mail2, last := newHost("mail1", "anna@example.com"), newHost("mail2"), newHost("last")
				says(last)
				s := newSiteWithLast(t, example(), mail1, mail2, last)
				wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
				wantLastResort(t, s.look(t, "bert@example.com"), last, SourceSearch)
				wantLastResort(t, s.look(t, "bert@example.com"), last, SourceMemory)
				if owner := s.memory.owner("bert@example.com"); owner != "" {
					t.Errorf("%s is remembered as the owner", owner)
				}
				time.Sleep(unsureExpire) // the others' no is remembered yet
				wantLastResort(t, s.look(t, "bert@example.com"), last, SourceSearch)

				mail2.has("bert@example.com")
				time.Sleep(noExpire)
				f := s.look(t, "bert@example.com")
				wantDeliver(t, f, mail2, SourceSearch)
				if f.LastResort || s.memory.owner("bert@example.com") != "mail2" {
					t.Errorf("last resort %v, owner %q", f.LastResort, s.memory.owner("bert@example.com"))
				}
			})
		})
	}
}

func TestLastResortThatTellsIsAHostLikeTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, last := newHost("mail1"), newHost("last", "anna@example.com")
		s := newSiteWithLast(t, example(), mail1, last)
		f := s.look(t, "anna@example.com")
		wantDeliver(t, f, last, SourceSearch)
		if f.LastResort || s.memory.owner("anna@example.com") != "last" {
			t.Errorf("last resort %v, owner %q", f.LastResort, s.memory.owner("anna@example.com"))
		}
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
		wantVerdict(t, s.look(t, "nobody@example.com"), Reject)
	})
}

func TestLastResortDoesNotOwnWhatAnotherHostMayHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2, last := newHost("mail1", "anna@example.com").down(), newHost("mail2"), newHost("last").down()
		s := newSiteWithLast(t, example(), mail1, mail2, last)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)

		// Since then it has moved to a host whose no is remembered.
		time.Sleep(unsureExpire)
		mail1.has()
		mail2.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)

		s.domain.SetHosts(withLast(last))
		wantVerdict(t, s.look(t, "bert@example.com"), Defer) // there is no other
	})
}

func TestLastResortDoesNotOwnWhatAHostAddedMeanwhileMayHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2, last := newHost("mail1").takes(2*time.Second), newHost("mail2", "anna@example.com"), newHost("last").down()
		s := newSiteWithLast(t, example(), mail1, last)
		go func() {
			time.Sleep(time.Second)
			s.domain.SetHosts(withLast(mail1, mail2, last))
		}()
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
	})
}

func TestMailboxThatIsGoneFromItsOwnerGoesToTheLastResortWhenTheDoubtIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, last := newHost("mail1", "anna@example.com"), newHost("last").down()
		s := newSiteWithLast(t, example(), mail1, last)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
		mail1.has()
		time.Sleep(ownerRefresh)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceMemory)
		synctest.Wait()
		wantVerdict(t, s.look(t, "anna@example.com"), Defer) // it may be on its way
		time.Sleep(DoubtTime)
		wantLastResort(t, s.look(t, "anna@example.com"), last, SourceSearch)
	})
}

func TestNoAboutAnAmbiguousRecipientIsNoneForTheLastResort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteWithLast(t, example(), newHost("mail1", "a.b@example.com"), newHost("last").down())
		wantVerdict(t, s.look(t, `a."b"@example.com`), Defer)
	})
}

// What mail1 says of user and of user+ext, and what the last resort does.
func TestLastResortOwnsAnExtendedAddressOnlyByANoToBothOfItsNames(t *testing.T) {
	yes, no, unsure := Answer{Says: Yes}, Answer{Says: No}, Answer{Says: Unsure, Why: "421"}
	for _, tt := range []struct {
		name                             string
		base, full, lastOfBase, lastFull Answer
		want                             Verdict
		owner                            string
	}{
		{"neither is there", no, no, unsure, unsure, Deliver, "last"},
		{"full is there", no, yes, unsure, unsure, Deliver, "mail1"},
		{"base is there", yes, no, unsure, unsure, Deliver, "mail1"},
		{"full not to be asked about", no, unsure, unsure, unsure, Defer, ""},
		{"base not to be asked about", unsure, no, unsure, unsure, Defer, ""},
		{"the last resort has no full", no, no, unsure, no, Deliver, "last"},
		{"the last resort has no base", no, no, no, unsure, Deliver, "last"},
		{"the last resort has neither", no, no, no, no, Reject, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				by := func(base, full Answer) func(Address) Answer {
					return func(a Address) Answer {
						if a.Local() == "user" {
							return base
						}
						return full
					}
				}
				d := example()
				d.Delimiter = "+"
				s := newSiteWithLast(t, d, newHost("mail1").does(by(tt.base, tt.full)), newHost("last").does(by(tt.lastOfBase, tt.lastFull)))
				for range 2 {
					f := s.look(t, "user+ext@example.com")
					wantVerdict(t, f, tt.want)
					if f.Host != nil && f.Host.Name != tt.owner {
						t.Errorf("deliver to %s, want %s", f.Host.Name, tt.owner)
					}
				}
			})
		})
	}
}

// The askers' time is enough for both names of what goes to a host that hangs.
func TestExtendedAddressGoesToALastResortThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := example()
		d.Delimiter = "+"
		last := newHost("last").silent()
		s := newSiteWithLast(t, d, newHost("mail1"), last)
		wantLastResort(t, s.look(t, "user+ext@example.com"), last, SourceSearch)
	})
}
