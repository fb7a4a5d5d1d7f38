package cache

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/policy"
)

// large asks for tests and benchmarks that take gigabytes and minutes.
var large = os.Getenv("POSTWHERE_LARGE") != ""

// Strangers come, each is kept; owners have no room to spare.
func TestDictionaryAttackPushesOutNoOwner(t *testing.T) {
	const owners, strangers, guesses = 500, 1000, 500_000
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = owners, strangers })
	for i := range owners {
		c.Own(address(t, fmt.Sprintf("user%d@example.com", i)), yes("mail1"))
	}
	answers := []policy.Answer{no("mail1")}
	guess := []byte("guess00000000")
	for range guesses {
		c.Keep(policy.AddressOf(string(count(guess)), "example.com"), answers)
	}
	for i := range owners {
		wantOwner(t, c, address(t, fmt.Sprintf("user%d@example.com", i)), "mail1")
	}
	if o, s := c.Len(); o != owners || s != strangers {
		t.Errorf("%d owners, %d strangers", o, s)
	}
}

// count makes the number at the end of a text one more.
func count(text []byte) []byte {
	for i := len(text) - 1; ; i-- {
		if text[i]++; text[i] <= '9' {
			return text
		}
		text[i] = '0'
	}
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = 3, 3 })
	at := func(i int) policy.Address { return address(t, fmt.Sprintf("user%d@example.com", i)) }
	stranger := func(i int) policy.Address { return address(t, fmt.Sprintf("nobody%d@example.com", i)) }
	for i := range 3 {
		c.Own(at(i), yes("mail1"))
		c.Keep(stranger(i), []policy.Answer{no("mail2")})
	}
	c.Recall(at(0), time.Now())
	c.Recall(stranger(0), time.Now())
	c.Own(at(3), yes("mail1"))
	c.Keep(stranger(3), []policy.Answer{no("mail2")})
	for i, stays := range []bool{true, false, true, true} {
		owner, other := c.Recall(at(i), time.Now()), c.Recall(stranger(i), time.Now())
		if (owner.Owner.Says == policy.Yes) != stays || (other.Answers != nil) != stays {
			t.Errorf("%d: got %+v and %+v", i, owner, other)
		}
	}
}

// Those that are asked for since half the room was taken outlast those that nobody
// asks for.
func TestOrderIsKeptOnceHalfTheRoomIsTaken(t *testing.T) {
	const size = 1000
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = size, size })
	at := func(i int) policy.Address { return address(t, fmt.Sprintf("user%d@example.com", i)) }
	for i := range size {
		c.Own(at(i), yes("mail1"))
		c.Recall(at(i/20*10), time.Now()) // one in ten of the older half
	}
	for i := range size * 9 / 20 {
		c.Own(at(size+i), yes("mail1"))
	}
	for i := size / 4; i < size/2; i += 10 {
		wantOwner(t, c, at(i), "mail1")
	}
	wantOwner(t, c, at(size/4+1), "")
}

func TestShardsKeepWithinTheirBounds(t *testing.T) {
	const came = 6000
	for _, opt := range []Options{
		{Owners: 1, Strangers: 1},
		{Owners: 100_000, Strangers: 1},
		{Owners: 100_001, Strangers: 3000},
		{Owners: 2049, Strangers: 40_000},
		{Owners: 5_000_000, Strangers: 5_000_000},
	} {
		opt.Lifetimes = Default().Lifetimes
		c, err := New(opt)
		if err != nil {
			t.Fatal(err)
		}
		for i := range came {
			a := address(t, fmt.Sprintf("user%d@example.com", i))
			c.Own(a, yes("mail1"))
			c.Keep(a, []policy.Answer{no("mail1")})
		}
		o, s := c.Len()
		// All that came, or the bound less what falls to the shards unevenly.
		if o > opt.Owners || o < min(came, opt.Owners*9/10) || s > opt.Strangers || s < min(came, opt.Strangers*9/10) {
			t.Errorf("%+v, %d shards: %d owners, %d strangers", opt, len(c.shards), o, s)
		}
	}
}

func TestRecallAllocatesNothing(t *testing.T) {
	c := newCache(t, nil)
	known := []string{
		"anna@example.com", "Anna.Mixed-Case@example.com", "käthe@example.com", strings.Repeat("anna", 16) + "@example.com",
		strings.Repeat("Anna", 60) + "@example.com", `"a b"@example.com`,
	}
	for _, s := range known {
		a := address(t, s)
		c.Own(a, yes("mail1"))
		c.Keep(a, []policy.Answer{no("mail2"), unsure("mail3"), no("mail4")})
	}
	for _, s := range append(known, "nobody@example.com") {
		a := address(t, s)
		owner := c.Recall(a, time.Now())
		if n := testing.AllocsPerRun(100, func() { c.Recall(a, time.Now()) }); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
		c.Disown(a)
		others := c.Recall(a, time.Now())
		if n := testing.AllocsPerRun(100, func() { c.Recall(a, time.Now()) }); n != 0 {
			t.Errorf("%s: %v allocations", s, n)
		}
		if s != "nobody@example.com" && (owner.Owner.Says != policy.Yes || len(others.Answers) != 3) {
			t.Errorf("%s: got %+v and %+v", s, owner, others)
		}
	}
}

// Whatever is called at the same time: an address's owner is a host that was his.
func TestConcurrentUse(t *testing.T) {
	c := newCache(t, func(o *Options) {
		*o = Options{Owners: 1 << 15, Strangers: 1 << 15, Lifetimes: Lifetimes{
			Refresh: time.Microsecond, Expire: 5 * time.Millisecond, No: time.Millisecond, Unsure: 10 * time.Microsecond,
		}}
	})
	const addresses = 50
	host := func(i int) string { return fmt.Sprintf("mail%d", i) }
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(g)))
			for range 3000 {
				i := r.IntN(addresses)
				a := address(t, fmt.Sprintf("User%d@example.com", i))
				switch r.IntN(12) {
				case 0, 1:
					c.Own(a, yes(host(i)))
				case 2, 3:
					c.Keep(a, []policy.Answer{no(host(i)), unsure(host(i))})
				case 4:
					c.Postpone(a)
				case 5:
					c.Disown(a)
				case 6:
					c.Len()
				case 7:
					if r.IntN(100) == 0 {
						c.ForgetStrangers()
					}
				default:
					m := c.Recall(a, time.Now())
					if m.Owner.Says == policy.Yes && m.Owner.Host != host(i) {
						t.Errorf("%s: owner %s", a, m.Owner.Host)
					}
					for _, answer := range m.Answers {
						if answer.Host != host(i) {
							t.Errorf("%s: answer %v", a, answer)
						}
					}
				}
			}
		})
	}
	wg.Wait()
}
