package cache

import (
	"fmt"
	"testing"
	"time"

	"postwhere/policy"
)

// A stranger is in the shard of his folded spelling, and there by the hash of his own:
// in a cache of many shards, too, what was put there is found again, and nothing else.
func TestSpellingsOfManyShards(t *testing.T) {
	const n = 5_000
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = DefaultOwners, DefaultStrangers })
	if c.split == 0 {
		t.Fatal("there is one shard")
	}
	spellings := func(i int) []policy.Address {
		return []policy.Address{
			address(t, fmt.Sprintf("Anna.%d@example.com", i)),
			address(t, fmt.Sprintf("anna.%d@example.com", i)),
			address(t, fmt.Sprintf("ANNA.%d@example.com", i)),
		}
	}
	keep := func(i int) {
		for _, a := range spellings(i) {
			c.Keep(a, []policy.Answer{no("mail1")})
		}
	}
	for range 3 { // in place of what was there before
		for i := range n {
			keep(i)
		}
	}
	if _, strangers := c.Len(); strangers != 3*n {
		t.Errorf("%d strangers, want %d", strangers, 3*n)
	}
	if places := strangersIn(c); places != 3*n {
		t.Errorf("%d places are taken, want %d", places, 3*n)
	}
	lost := 0
	for i := range n {
		for _, a := range spellings(i) {
			if len(c.Recall(a, time.Now()).Answers) != 1 {
				lost++
			}
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d strangers are not found", lost, 3*n)
	}
	// A mailbox is made, and flushed: no spelling of it is known to be none.
	for i := range n {
		c.Purge(Purge{Name: Name{fmt.Sprintf("anna.%d", i), "example.com"}})
	}
	for i := range n {
		for _, a := range spellings(i) {
			if memo := c.Recall(a, time.Now()); len(memo.Answers) > 0 {
				t.Fatalf("%s: purged, and yet %v", a, memo.Answers)
			}
		}
	}
	if places := strangersIn(c); places > 0 {
		t.Errorf("%d places are taken, and nobody is there", places)
	}
}

// strangersIn returns how many places strangers take.
func strangersIn(c *Cache) (n int) {
	for i := range c.shards {
		for range c.shards[i].strangers.all() {
			n++
		}
	}
	return n
}

// Who spells his guesses in many ways takes no more room than others.
func TestSpellingsTakeNoMoreRoom(t *testing.T) {
	const most = 8192
	c := newCache(t, func(o *Options) { o.Owners, o.Strangers = DefaultOwners, most })
	if c.split == 0 {
		t.Fatal("there is one shard")
	}
	for i := range 10 * most {
		c.Keep(address(t, fmt.Sprintf("Guess.%d@example.com", i)), []policy.Answer{no("mail1")})
	}
	_, strangers := c.Len()
	if places := strangersIn(c); places != strangers || places > atMost(most) {
		t.Errorf("%d places are taken, by %d strangers of %d", places, strangers, most)
	}
}
