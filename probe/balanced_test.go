package probe

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/policy"
)

// way is how one of two hosts behind one name answers.
type way struct {
	has     having
	refusal string // with ADDRESS in the place of the address, if it repeats it
	blind   bool   // VRFY is disabled
}

// having is who has a mailbox at a host.
type having string

const (
	some       having = "some"
	nobody     having = "nobody"
	postmaster having = "postmaster" // as Exim, before it looks who is there
	everybody  having = "everybody"
)

var (
	// plainRefusals count from any host.
	plainRefusals = []string{
		"550 5.1.1 <ADDRESS>: Recipient address rejected: User unknown",
		"550 5.1.1 User unknown",
	}
	// vagueRefusals count only from a host that is seen to accept somebody.
	vagueRefusals = []string{
		"550 5.1.0 <ADDRESS>: no such user",
		"550 <ADDRESS>... No such user here",
		"550 No such user here",
		"553 5.1.3 <ADDRESS>: no such user",
		"550 5.1.1 <ADDRESS>: Recipient address rejected: undeliverable address: unknown",
		"550 5.1.1 <ADDRESS>: Sender address rejected: User unknown",
	}
	softBounce = "450 4.1.1 <ADDRESS>: Recipient address rejected: User unknown"
	refusals   = slices.Concat(plainRefusals, vagueRefusals, []string{softBounce})
	// excuses are not about the mailbox.
	excuses = []string{
		"550 5.7.1 <ADDRESS>: Relay access denied",
		"550 Relaying denied",
		"554 5.7.1 <ADDRESS>: Service unavailable; client is blocked",
		"450 4.2.0 <ADDRESS>: Recipient address rejected: Greylisted",
		"451 4.3.0 <ADDRESS>: Temporary lookup failure",
		"421 4.3.2 Service shutting down",
	}
)

// reply is what the host says instead of what a distant host says.
func (w way) reply(line, said string) (reply string, refused bool) {
	verb, arg, _ := strings.Cut(line, " ")
	isThere := strings.HasPrefix(said, "2") && w.has != postmaster || isAbout(arg, "postmaster")
	switch {
	case verb != "VRFY" && verb != "RCPT":
		return said, false
	case verb == "VRFY" && w.blind:
		return "502 5.5.1 VRFY command is disabled", true
	case w.has == nobody || w.has != everybody && !isThere:
		return replaceAddress(w.refusal, arg), true
	case verb == "VRFY":
		return "252 2.0.0 " + arg, false
	}
	return "250 2.1.5 Ok", false
}

func oneOf[T any](chance *rand.Rand, all []T) T { return all[chance.IntN(len(all))] }

// isBelieved tells whether a host that has no mailbox shows it in no way but that it refuses
// those which the other was seen to have. Until one was seen nobody can know: it refuses what is
// there in the form in which it would refuse a stranger.
func (w way) isBelieved() bool {
	return w.has == postmaster || w.has == nobody && slices.Contains(plainRefusals, w.refusal)
}

// anyWays are of two hosts, of which one at least has the mailboxes. They greet differently: of
// hosts that do not, nothing of this can be known.
func anyWays(chance *rand.Rand) (ways [2]way) {
	one := way{some, oneOf(chance, refusals), chance.IntN(2) == 0}
	two := way{oneOf(chance, []having{some, nobody, nobody, nobody, postmaster, everybody}), oneOf(chance, refusals), chance.IntN(2) == 0}
	switch {
	case two.has == some:
	case chance.IntN(4) == 0:
		two.refusal = oneOf(chance, excuses)
	case chance.IntN(3) > 0: // in the very words
		one.refusal = two.refusal
	}
	if chance.IntN(2) == 0 {
		one, two = two, one
	}
	return [2]way{one, two}
}

// Two hosts stand behind one name, and each connection comes to either. Whatever one of them
// does not know, or says to everybody, whoever asks when: nobody is told what is not so.
func TestNoScheduleOfACrowdOfTwoHostsBehindOneNameIsAnsweredWrong(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%#x", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { anyBalance(t, seed) })
		})
	}
}

func anyBalance(t *testing.T, seed uint64) {
	chance := rand.New(rand.NewPCG(seed, 1))
	ways := anyWays(chance)
	host := &moodyHost{
		distantHost: distantHost{owns: "anna", holds: seed%2 == 0}, chaos: rand.New(rand.NewPCG(seed, 2)),
		calm: oneOf(chance, []float64{1, 1, 0.9, 0.6}), ways: &ways,
	}
	var drained atomic.Bool
	timeout := time.Duration(1+chance.IntN(5)) * time.Second
	method, connections := oneOf(chance, []Method{Auto, RCPT}), 1+chance.IntN(20)
	knows := func(known Knowledge) *Prober {
		return ofHost(t, &fakeHost{}, drainedBy(&drained), func(c *Config) {
			c.Method, c.Connections, c.dial, c.ReplyTimeout, c.ConnectTimeout, c.Known = method, connections, host.dial, timeout, timeout, known
		})
	}
	p := knows(Knowledge{})
	p.cfg.learnt.budget.refusals.now = 1 + chance.IntN(mostRefusals)
	if ways[0].isBelieved() || ways[1].isBelieved() { // as long as nobody is known to be there
		for _, witness := range []string{"anna@d.test", "anna@e.test"} {
			for ask(t, p, witness).Says != policy.Yes {
				p.CloseIdle()
				time.Sleep(time.Second)
			}
		}
	}
	for range chance.IntN(8) { // both are known, or one, or none
		wantNot(t, p, "nobody@d.test", policy.Yes)
		p.CloseIdle()
	}
	for range 1 + chance.IntN(3) {
		spread := time.Duration(1+chance.IntN(4000)) * time.Millisecond
		asking := crowdAtRandom(t, p, chance, spread, func(policy.Address, policy.Answer, time.Duration, time.Duration) {})
		if chance.IntN(3) == 0 {
			time.Sleep(time.Duration(chance.Int64N(int64(spread))))
			drained.Store(true)
			p.CloseIdle()
			time.Sleep(time.Duration(chance.Int64N(int64(spread))))
			drained.Store(false)
		}
		asking.Wait()
		time.Sleep(oneOf(chance, []time.Duration{0, time.Second, unclearLife, acceptsAllLife, calibrationLife}))
		if chance.IntN(4) == 0 {
			p.Close()
			p = knows(p.Knowledge())
		}
		wantNot(t, p, "anna@d.test", policy.No)
		if ways[0].has == ways[1].has && host.calm == 1 {
			wantSays(t, p, "anna@d.test", policy.Yes)
		}
		wantNot(t, p, "stranger@d.test", policy.Yes)
	}
	endSchedule(t, p, host)
	if t.Failed() {
		t.Logf("%+v", ways)
	}
}

// wantNot asks and fails the test if that is the answer.
func wantNot(t *testing.T, p *Prober, who string, not policy.Says) {
	t.Helper()
	if got := ask(t, p, who); got.Says == not {
		t.Errorf("%s: %s (%s %q)", who, got.Says, got.Method, got.Reply)
	}
}
