package cache

import "time"

// Defaults. An owner's Expire is above the five days that Postfix keeps mail in
// its queue (maximal_queue_lifetime), so that a host may be down for as long.
const (
	DefaultOwners    = 1_000_000
	DefaultStrangers = 100_000

	DefaultRefresh = time.Hour
	DefaultExpire  = 7 * 24 * time.Hour
	DefaultNo      = 5 * time.Minute
	DefaultUnsure  = 10 * time.Second
)

// Options are the bounds of a Cache. A Cache grows as it learns: nothing is
// taken in advance.
type Options struct {
	// Owners and Strangers are how many addresses of each kind are remembered at
	// most, at least 1. An owner takes 170 to 205 bytes, and more only where his
	// local part is longer than 21 octets. A stranger takes 185 to 215, and for each
	// host of the domain 128 bytes and the texts: 235 bytes with a usual refusal,
	// 560 with the longest texts that are kept. So the defaults, with three
	// hosts, come to 200 MB of owners and 95 MB of strangers, 195 MB if the hosts
	// are hostile. Go's collector may double what the process takes.
	//
	// Large caches are made of shards, each with its part of the room: who goes is one
	// of a shard who was not asked for, and he goes a few percent before all the room
	// is taken. Less than half of them are sure to stay if each is asked for once while
	// as many others come.
	Owners    int
	Strangers int
	Lifetimes
	// Domains are lifetimes of what is remembered about addresses of those domains, in
	// place of Lifetimes, by the domain as in policy.Address.
	Domains map[string]Lifetimes
}

// Lifetimes are counted from the time when the question was put to the host.
// One that is 0 or less keeps nothing of its kind. Each address has its own, up
// to a tenth shorter, so that what was learnt in one burst is not all asked again
// in another.
type Lifetimes struct {
	Refresh time.Duration // of an owner, until he is asked again behind a look-up
	Expire  time.Duration // of an owner, until he is forgotten
	No      time.Duration
	Unsure  time.Duration // also how long Postpone lasts
}

// Default returns the options that serve most sites.
func Default() Options {
	return Options{
		Owners:    DefaultOwners,
		Strangers: DefaultStrangers,
		Lifetimes: Lifetimes{Refresh: DefaultRefresh, Expire: DefaultExpire, No: DefaultNo, Unsure: DefaultUnsure},
	}
}
