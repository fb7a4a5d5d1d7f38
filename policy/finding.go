package policy

import (
	"slices"
	"time"
)

// Verdict is what Postfix is to do with a recipient.
type Verdict uint8

// The zero Verdict is Defer: whatever is forgotten costs time, never a mailbox.
const (
	// Defer: nobody is known to have the mailbox, and a host could not be asked.
	Defer Verdict = iota
	// Deliver: a host has the mailbox.
	Deliver
	// Reject: every host of the domain said that it has no such mailbox.
	Reject
	// Pass: not ours; Postfix decides as if postwhere were not there.
	Pass
)

// String returns the verdict's word.
func (v Verdict) String() string {
	return [...]string{"defer", "deliver", "reject", "pass"}[v&3]
}

// Request is one question of Postfix's: a recipient, and what the face knows of
// the client. A look-up table knows nothing but the recipient.
type Request struct {
	Recipient string        // quoted or not; see ParseAddress
	Face      string        // which face was asked: "policy", "milter", "socketmap", "tcp", "control"
	QueueID   string        // "": none yet
	Client    string        // client address
	Helo      string        // the client's EHLO or HELO name
	User      string        // as whom the client has logged in, "": not
	Sender    string        // quoted or not, NullSender, or "" where it is not known
	State     string        // protocol_state, "" where the face knows none
	Unquoted  bool          // Recipient has no quoting: what looks like it is the mailbox's name
	Fresh     bool          // a rejection would bounce a message: no long remembered one will do
	Wait      time.Duration // how long to wait for the hosts; 0: as long as the search may take
	// Door: the client still waits to hear whether he may send to the recipient.
	// Only here Domain.PassUnsure counts: at delivery nobody can be let in.
	Door bool
}

// Where a finding came from.
const (
	SourceNone   = ""       // nothing was looked up
	SourceMemory = "memory" // from remembered answers alone
	SourceSearch = "search" // hosts were asked
	SourceOwners = "owners" // settled by the domain's list of owners
)

// Finding is the outcome of a search. It must not be changed: askers who joined
// one search share it.
type Finding struct {
	Verdict Verdict
	Address Address // of the recipient, as it was normalised
	Host    *Host   // the owner, with Deliver; else nil
	// LastResort, with Deliver: no host said yes, and Host owns what no other has.
	LastResort bool
	// LetIn, with Pass: the recipient is ours, and is let in though it could not be
	// found out whether there is such a mailbox; see Domain.PassUnsure and Bypass.
	LetIn   bool
	Reply   Reply         // what to tell the client, with Reject and Defer
	Source  string        // SourceMemory, …
	Age     time.Duration // of the oldest answer that counted
	Answers []Answer      // of the hosts, in order of preference, as far as they were needed
	Why     string        // why Defer, Pass or LastResort, for the administrator
}

// Combine is the one place where a verdict is made of answers. Each answer
// belongs to the host at the same place. It returns the verdict and, with
// Deliver, the index of the owner; -1 else.
//
//   - The earliest host that said yes owns the mailbox, one whose yes is weak
//     only if no other host said yes.
//   - Else, if any host is unsure or has not answered: Defer. So too if there
//     are no hosts.
//   - Else every host said No: Reject.
func Combine(answers []Answer) (v Verdict, owner int) {
	owner = -1
	everyNo := len(answers) > 0
	for i, a := range answers {
		if a.Says == Yes && (owner < 0 || answers[owner].Weak && !a.Weak) {
			owner = i
		}
		if a.Says != No {
			everyNo = false
		}
	}
	switch {
	case owner >= 0:
		return Deliver, owner
	case everyNo:
		return Reject, -1
	}
	return Defer, -1
}

// Decide is Combine for hosts one of which may be the domain's last resort: if
// every other host said No, and it is Unsure, it owns the mailbox, though its
// answer at the index that is returned is no yes. A last resort that says yes or
// no is a host like the others, as is one that has not answered yet, or that is
// the domain's only host: then nobody else has said no. Each answer belongs to
// the host at the same place.
func Decide(hosts []*Host, answers []Answer) (v Verdict, owner int) {
	v, owner = Combine(answers)
	if v != Defer || len(answers) < 2 || len(hosts) != len(answers) {
		return v, owner
	}
	last := slices.IndexFunc(answers, notNo)
	if !hosts[last].LastResort || answers[last].Says != Unsure || slices.ContainsFunc(answers[last+1:], notNo) {
		return v, owner
	}
	return Deliver, last
}

func notNo(a Answer) bool { return a.Says != No }
