package cache

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"postwhere/policy"
)

// model is memory without bounds, as its contract has it: two maps.
type model struct {
	owners    map[string]*modelOwner
	strangers map[policy.Address][]policy.Answer
}

type modelOwner struct {
	yes       policy.Answer
	postponed time.Time
}

var modelLife = map[policy.Says]time.Duration{policy.No: DefaultNo, policy.Unsure: DefaultUnsure}

func (m *model) own(a policy.Address, yes policy.Answer) {
	delete(m.strangers, a)
	m.owners[a.Key()] = &modelOwner{yes: yes}
}

func (m *model) postpone(a policy.Address) {
	if o := m.owners[a.Key()]; o != nil {
		o.postponed = time.Now()
	}
}

// check compares what is recalled with what the model has. In the last tenth of a
// lifetime either is right.
func (m *model) check(t *rapid.T, a policy.Address, got policy.Memo) {
	o := m.owners[a.Key()]
	switch {
	case got.Owner.Says != policy.Yes && o != nil && time.Since(o.yes.At) < early(DefaultExpire):
		t.Fatalf("%s: the owner %v is forgotten", a, o.yes)
	case got.Owner.Says == policy.Unasked:
		if got.Owner != (policy.Answer{}) || got.Stale {
			t.Fatalf("%s: half an owner: %+v", a, got)
		}
	case o == nil:
		t.Fatalf("%s: owner %v, but nobody owns it", a, got.Owner)
	case time.Since(o.yes.At) >= DefaultExpire:
		t.Fatalf("%s: owner %v is %v old", a, got.Owner, time.Since(o.yes.At))
	case got.Owner.Says != policy.Yes || got.Owner.Host != o.yes.Host || !got.Owner.At.Equal(o.yes.At):
		t.Fatalf("%s: owner %v, want %v", a, got.Owner, o.yes)
	default:
		age, held := time.Since(o.yes.At), time.Since(o.postponed)
		if got.Stale && (age < early(DefaultRefresh) || held < early(DefaultUnsure)) {
			t.Fatalf("%s: stale at %v, %v after Postpone", a, age, held)
		}
		if !got.Stale && age >= DefaultRefresh && held >= DefaultUnsure {
			t.Fatalf("%s: not stale at %v, %v after Postpone", a, age, held)
		}
	}
	if got.Owner.Says == policy.Yes {
		if got.Answers != nil {
			t.Fatalf("%s: owner %v, and answers %v", a, got.Owner, got.Answers)
		}
		return
	}
	checkSaid(t, got)
	m.checkAnswers(t, a, got.Answers)
}

func (m *model) checkAnswers(t *rapid.T, a policy.Address, got []policy.Answer) {
	for _, want := range m.strangers[a] {
		age, life := time.Since(want.At), modelLife[want.Says]
		i := slices.Index(got, want)
		if i < 0 && 0 <= age && age < early(life) {
			t.Fatalf("%s: %v is forgotten after %v: %v", a, want, age, got)
		}
		if i >= 0 && age >= life {
			t.Fatalf("%s: %v is %v old", a, want, age)
		}
		if i >= 0 {
			got = got[i+1:] // in the order given
		}
	}
	if len(got) > 0 {
		t.Fatalf("%s: %v were not kept for it", a, got)
	}
}

func TestCacheIsLikeItsModel(t *testing.T) {
	addresses := []policy.Address{}
	for _, s := range []string{
		"anna@example.com", "Anna@example.com", "ANNA@example.com", "anna@example.net",
		"Käthe@example.com", "käthe@example.com", "somebody.with.a.very.long.local.part@example.com",
	} {
		addresses = append(addresses, address(t, s))
	}
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func() {
			c := newCache(t, nil)
			m := &model{map[string]*modelOwner{}, map[policy.Address][]policy.Answer{}}
			rt.Repeat(operations(c, m, addresses))
		})
	})
}

func operations(c *Cache, m *model, addresses []policy.Address) map[string]func(*rapid.T) {
	anAddress := rapid.SampledFrom(addresses)
	aHost := rapid.SampledFrom([]string{"mail1", "mail2", "mail3"})
	anAge := rapid.OneOf(rapid.Just(time.Duration(0)), aTime(), rapid.Just(-time.Second))
	anAnswer := rapid.Custom(func(t *rapid.T) policy.Answer {
		return policy.Answer{
			Host: aHost.Draw(t, "host"),
			Says: rapid.SampledFrom([]policy.Says{policy.Unasked, policy.Yes, policy.No, policy.No, policy.Unsure}).Draw(t, "says"),
			At:   time.Now().Add(-anAge.Draw(t, "age")),
			Took: time.Duration(rapid.IntRange(0, 1000).Draw(t, "ms")) * time.Millisecond,
		}
	})
	return map[string]func(*rapid.T){
		"own": func(t *rapid.T) {
			a, yes := anAddress.Draw(t, "address"), policy.Answer{Host: aHost.Draw(t, "host"), Says: policy.Yes, At: time.Now()}
			c.Own(a, yes)
			m.own(a, yes)
		},
		"keep": func(t *rapid.T) {
			a, answers := anAddress.Draw(t, "address"), rapid.SliceOfN(anAnswer, 0, 4).Draw(t, "answers")
			c.Keep(a, answers)
			m.strangers[a] = slices.DeleteFunc(slices.Clone(answers), func(x policy.Answer) bool {
				return modelLife[x.Says] == 0 || time.Since(x.At) < 0
			})
		},
		"postpone": func(t *rapid.T) {
			a := anAddress.Draw(t, "address")
			c.Postpone(a)
			m.postpone(a)
		},
		"disown": func(t *rapid.T) {
			a := anAddress.Draw(t, "address")
			c.Disown(a)
			delete(m.owners, a.Key())
		},
		"forget strangers": func(*rapid.T) {
			c.ForgetStrangers()
			clear(m.strangers)
		},
		"wait": func(t *rapid.T) { time.Sleep(aTime().Draw(t, "time")) },
		"": func(t *rapid.T) {
			for _, a := range addresses {
				m.check(t, a, c.Recall(a, time.Now()))
			}
		},
	}
}

// aTime draws a time about as long as one of the lifetimes, or a part of it.
func aTime() *rapid.Generator[time.Duration] {
	return rapid.Custom(func(t *rapid.T) time.Duration {
		life := rapid.SampledFrom([]time.Duration{DefaultUnsure, DefaultNo, DefaultRefresh, DefaultExpire}).Draw(t, "lifetime")
		return life * time.Duration(rapid.IntRange(1, 20).Draw(t, "tenths")) / 10
	})
}

// inBubble runs f in simulated time. What rapid throws to end a run comes through.
func inBubble(t *testing.T, f func()) {
	var thrown any
	synctest.Test(t, func(*testing.T) {
		defer func() { thrown = recover() }()
		f()
	})
	if thrown != nil {
		panic(thrown)
	}
}
