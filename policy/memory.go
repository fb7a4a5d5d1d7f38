package policy

import "time"

// Memory remembers answers. It decides how long an answer lives, and forgets;
// the Searcher decides what an answer means. An answer lives from its At: one
// that is kept once more, with others, is none the younger, and Recall returns it
// with the At that it was kept with. All methods are called concurrently and do no
// I/O that a look-up would wait for.
type Memory interface {
	// Recall returns the answers about an address that are alive now, which the caller
	// has just read: reading a clock takes a tenth of a look-up's time.
	Recall(a Address, now time.Time) Memo
	// Own remembers the host whose yes counts, under the address's Key, and
	// drops what was kept about the address.
	Own(a Address, yes Answer)
	// Postpone notes that the owner could not be asked again: it stays, and is
	// not stale for a while.
	Postpone(a Address)
	// Disown forgets the owner.
	Disown(a Address)
	// Keep remembers what the hosts said that do not have the mailbox, for this
	// very spelling of the address, in place of what was kept before. It takes
	// no note of a yes. The slice is the memory's from then on, and is not changed.
	Keep(a Address, answers []Answer)
	// Purged tells whether one of the answers about an address is from before somebody
	// had it forgotten, under the address's Key: then it is not to be believed as a no.
	Purged(a Address, answers []Answer) bool
}

// Memo is what is remembered about one address.
type Memo struct {
	// Owner is the yes of the mailbox's host; Says is Unasked if none is known.
	Owner Answer
	// Stale: the owner is to be asked again, behind this look-up.
	Stale bool
	// Answers are the others' No and Unsure, each within its lifetime; with an Owner
	// they may be missing. They are shared and must not be changed.
	Answers []Answer
	// Said are Host and Says of each of the Answers, and Oldest is the time of the
	// oldest: what a rejection is made of. Many addresses have the same Said, so that a
	// look-up need not see the Answers of one among millions, which takes as long as all
	// the rest of it.
	Said   []Answer
	Oldest time.Time
}
