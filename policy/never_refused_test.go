package policy

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"pgregory.net/rapid"
)

// The rule above all others: a mailbox that exists is never refused.

func TestOneHostInTroubleIsEnoughNotToReject(t *testing.T) {
	for _, tt := range []struct {
		name string
		says func(Address) Answer
	}{
		{"unsure", func(Address) Answer { return Answer{Says: Unsure, Why: "421"} }},
		{"says nothing", func(Address) Answer { return Answer{} }},
		{"says what there is no word for", func(Address) Answer { return Answer{Says: 6} }},
		{"weakly unsure", func(Address) Answer { return Answer{Says: Unsure, Weak: true} }},
		{"panics", func(Address) Answer { panic("a bug") }},
		{"indexes out of range", func(a Address) Answer { _ = []int{}[len(a.Local())]; return Answer{Says: No} }},
	} {
		for place := range 3 {
			t.Run(fmt.Sprintf("%s, host %d", tt.name, place+1), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					hosts := []*mailHost{newHost("mail1"), newHost("mail2"), newHost("mail3")}
					hosts[place].does(tt.says)
					s := newSite(t, hosts...)
					f := s.look(t, "anna@example.com")
					wantVerdict(t, f, Defer)
					if f.Reply != deferReply || f.Why == "" {
						t.Errorf("client is told %v because %q", f.Reply, f.Why)
					}
					time.Sleep(unsureExpire + time.Second)
					hosts[place].has("anna@example.com")
					wantDeliver(t, s.look(t, "anna@example.com"), hosts[place], SourceSearch)
				})
			})
		}
	}
}

func TestHostWithoutAProberIsUnsure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newHost("mail1"))
		s.domain.SetHosts(append(listOf(newHost("mail1")), &Host{Name: "mail2"}))
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
	})
}

func TestDomainWhoseHostsAreNotKnownIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		s.domain.hosts.Store(nil) // MX has not been asked yet
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)

		mail1 := newHost("mail1", "anna@example.com")
		s.domain.SetHosts(listOf(mail1))
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

func TestRejectIsNotPutTogetherFromANoThatGrewTooOldMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2").down()
		s := newSite(t, mail1, mail2)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)

		time.Sleep(noExpire - time.Second)
		mail1.has("anna@example.com") // since just now
		mail2.has().takes(2 * time.Second)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

func TestRejectAsksAgainWhatWasRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2").down()
		s := newSite(t, mail1, mail2)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		time.Sleep(unsureExpire)
		mail2.has().takes(2 * time.Second)
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		wantAsked(t, 2, mail1)
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		wantAsked(t, 0, mail1) // it is remembered as a whole
	})
}

// There was no moment at which the mailbox was on neither host.
func TestMailboxThatMovedFromAHostThatWasDownIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com").down()
		s := newSite(t, mail1, mail2)
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		time.Sleep(unsureExpire)
		mail1.has("anna@example.com")
		mail2.has()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

// A machine that sleeps during a search wakes up with answers of the time before, whose
// age the monotonic clock does not tell. The mailbox has moved meanwhile.
func TestRejectIsNotPutTogetherFromAnswersOfTwoTimes(t *testing.T) {
	for clock, at := range map[string]func(*testing.T) time.Time{
		"wall":      func(t *testing.T) time.Time { return beforeSleep(t, time.Hour) },
		"monotonic": func(*testing.T) time.Time { return time.Now().Add(-time.Hour) },
	} {
		mail1, mail2 := newHost("mail1"), newHost("mail2")
		s := newSite(t, mail1, mail2)
		hosts := listOf(mail1, mail2)
		hosts[0].Prober = ProberFunc(func(ctx context.Context, a Address) Answer {
			answer := mail1.Ask(ctx, a)
			answer.At = at(t)
			return answer
		})
		s.domain.SetHosts(hosts)
		if f := s.look(t, "anna@example.com"); f.Verdict != Defer {
			t.Errorf("%s clock: %v", clock, f.Verdict)
		}
		s.domain.SetHosts(listOf(mail1, mail2))
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		wantAsked(t, 2, mail1, mail2) // nothing of that was remembered
	}
}

// Nor is a no from before it fresh, on which a message would be bounced.
func TestNoFromBeforeASleepIsNotFresh(t *testing.T) {
	mail1 := newHost("mail1")
	s := newSite(t, mail1)
	s.memory.Keep(AddressOf("anna", "example.com"), []Answer{{Host: "mail1", Says: No, At: beforeSleep(t, freshFor)}})
	wantVerdict(t, s.look(t, "anna@example.com"), Reject)
	wantAsked(t, 0, mail1)
	wantVerdict(t, s.ask(t, Request{Recipient: "anna@example.com", Fresh: true}), Reject)
	wantAsked(t, 1, mail1)
}

// beforeSleep returns a moment ago, before the machine slept: only the wall clock went on.
func beforeSleep(t *testing.T, slept time.Duration) time.Time {
	t.Helper()
	now := time.Now()
	at := now
	// With a reading of the monotonic clock, the wall clock's seconds are above 30 bits of
	// nanoseconds.
	*(*uint64)(unsafe.Pointer(&at)) -= uint64(slept/time.Second) << 30
	if now.Sub(at) != 0 || now.Round(0).Sub(at.Round(0)) != slept {
		t.Fatalf("%v is not %v before %v", at, slept, now)
	}
	return at
}

// Each answer counts from when it was given, not from when it was last used.
func TestRememberedNoDoesNotGrowYoungerByBeingUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2").down()
		s := newSite(t, mail1, mail2)
		for begun := time.Now(); time.Since(begun) < noExpire; time.Sleep(unsureExpire) {
			wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		}
		wantAsked(t, 1, mail1)
		mail1.has("anna@example.com")
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

func TestNoAboutOneSpellingIsNoneAboutAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com")
		s := newSite(t, mail1)
		wantVerdict(t, s.look(t, "Anna@example.com"), Reject)
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

func TestSearchesForTwoSpellingsAreNotJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1 := newHost("mail1", "anna@example.com").takes(time.Second)
		s := newSite(t, mail1)
		s.begin("Anna@example.com")
		synctest.Wait()
		wantDeliver(t, s.look(t, "anna@example.com"), mail1, SourceSearch)
	})
}

// Postfix takes each of these for a.b@example.com, and shows it to a milter as it is
// here (measured). The hosts cannot be asked about what Postfix alone knows.
func TestNoAboutAnAmbiguousRecipientIsNoRejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, newHost("mail1", "a.b@example.com", `o"hara@example.com`))
		for _, recipient := range []string{
			`a."b"@example.com`, `"a".b@example.com`, `a.\b@example.com`, `a.b(comment)@example.com`, `(comment)a.b@example.com`,
			`a.b @example.com`, ` a.b@example.com`, `a . b@example.com`, `@relay:a."b"@example.com`,
		} {
			for range 2 {
				if f := s.look(t, recipient); f.Verdict != Defer || f.Reply != deferReply {
					t.Errorf("%s: %v with %v", recipient, f.Verdict, f.Reply)
				}
			}
		}
		wantVerdict(t, s.look(t, `o"hara@example.com`), Deliver)
		for _, plain := range []string{`a.c@example.com`, `a b@example.com`, `"a\"b"@example.com`, `"a\\b"@example.com`, `"(a)"@example.com`, `an:na@example.com`} {
			wantVerdict(t, s.look(t, plain), Reject)
		}
	})
}

func TestHostAddedDuringASearchIsNotLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1").takes(2*time.Second), newHost("mail2", "anna@example.com")
		s := newSite(t, mail1)
		go func() {
			time.Sleep(time.Second)
			s.domain.SetHosts(listOf(mail1, mail2))
		}()
		wantVerdict(t, s.look(t, "anna@example.com"), Defer)
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
		wantAsked(t, 1, mail1, mail2)
	})
}

func TestHostAddedDuringASearchIsNotLeftOutForThoseWhoJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1").takes(2*time.Second), newHost("mail2", "anna@example.com")
		s := newSite(t, mail1)
		s.begin("anna@example.com")
		time.Sleep(time.Second)
		s.domain.SetHosts(listOf(mail1, mail2))
		if f := s.look(t, "anna@example.com"); f.Verdict == Reject {
			t.Errorf("rejected, and %s was not asked", mail2.name)
		}
	})
}

func TestRememberedRejectDoesNotHoldForANewHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com")
		s := newSite(t, mail1)
		wantVerdict(t, s.look(t, "anna@example.com"), Reject)
		for _, order := range [][]*mailHost{{mail1, mail2}, {mail2, mail1}, {mail2}} {
			s.domain.SetHosts(listOf(order...))
			if f := s.look(t, "anna@example.com"); f.Verdict != Deliver || f.Host.Name != mail2.name {
				t.Errorf("%v to %v", f.Verdict, f.Host)
			}
			s.memory.Disown(mustParse(t, "anna@example.com"))
		}
	})
}

func TestHostOfWhichNothingIsRememberedIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mail1, mail2 := newHost("mail1"), newHost("mail2", "anna@example.com")
		s := newSite(t, mail1, mail2)
		s.memory.force(mustParse(t, "anna@example.com"), []Answer{{Host: "mail1", Says: No}, {Host: "mail2"}})
		wantDeliver(t, s.look(t, "anna@example.com"), mail2, SourceSearch)
	})
}

// Whatever the memory says and the hosts do: a rejection has a no of each host
// about this very address, given just now or remembered.
func TestRejectHasANoOfEachHost(t *testing.T) {
	words := []Says{Unasked, Yes, No, No, No, Unsure, 5}
	says := rapid.SampledFrom(words)
	rapid.Check(t, func(rt *rapid.T) {
		names := []string{"mail1", "mail2", "mail3"}[:rapid.IntRange(0, 3).Draw(rt, "hosts")]
		fresh := make(map[string]Says)
		var hosts []*mailHost
		for _, name := range names {
			fresh[name] = says.Draw(rt, name+" says")
			hosts = append(hosts, newHost(name).always(Answer{Says: fresh[name], Weak: rapid.Bool().Draw(rt, "weak")}))
		}
		kept := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Answer {
			return Answer{Host: rapid.SampledFrom([]string{"mail1", "mail2", "mail3", "gone", ""}).Draw(rt, "host"), Says: says.Draw(rt, "says")}
		}), 0, 4).Draw(rt, "remembered")

		var f Finding
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, hosts...)
			s.memory.force(mustParse(t, "anna@example.com"), kept)
			f = s.look(t, "anna@example.com")
		})
		saidNo := func(name string) bool {
			for _, k := range kept {
				if k.Host == name && k.Says == No {
					return true
				}
			}
			return fresh[name] == No
		}
		for _, name := range names {
			if f.Verdict == Reject && !saidNo(name) {
				rt.Errorf("rejected by %v, %s said %v", f.Answers, name, fresh[name])
			}
		}
		if f.Verdict == Reject && len(names) == 0 {
			rt.Error("rejected, and there are no hosts")
		}
	})
}

// Its host said no when the search began, and has it since: the search took longer than a no counts.
func TestANoThatExpiresDuringTheSearchRefusesNobody(t *testing.T) {
	for life, want := range map[time.Duration]Verdict{0: Reject, 3 * time.Second: Reject, time.Second: Defer} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, newHost("mail1"), newHost("mail2").takes(2*time.Second))
			s.domain.NoLife = life
			wantVerdict(t, s.look(t, "anna@example.com"), want)
		})
	}
}
