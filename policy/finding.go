package policy

import "time"

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
	Face      string        // which face was asked: "policy", "socketmap", "tcp", "control"
	QueueID   string        // "": none yet
	Client    string        // client address
	Helo      string        // the client's EHLO or HELO name
	State     string        // protocol_state, "" where the face knows none
	Wait      time.Duration // how long to wait for the hosts; 0: as long as the search may take
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
	Address Address       // of the recipient, as it was normalised
	Host    *Host         // the owner, with Deliver; else nil
	Reply   Reply         // what to tell the client, with Reject and Defer
	Source  string        // SourceMemory, …
	Age     time.Duration // of the oldest answer that counted
	Answers []Answer      // of the hosts, in order of preference, as far as they were needed
	Why     string        // why Defer or Pass, for the administrator
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
