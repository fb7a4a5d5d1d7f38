// Package policy is the core of postwhere: one mail domain, the hosts that its
// mailboxes are spread over, and the search for the host that has a mailbox.
//
// A Request names a recipient. The Searcher takes what its Memory knows, asks
// the hosts for what is missing, all at once, each through its Prober, and
// returns a Finding: the verdict and how it came about. The package speaks no
// protocol: the faces beside it (delegation, socketmap, tcptable) and milter
// turn a Finding into bytes for Postfix, and package probe asks a host.
//
// The rule above all others: a mailbox that exists is never refused. Reject is
// said in one place only, Combine, and only if every host of the domain said
// No about this very address. Whatever else happens is Unsure, and Unsure can
// only lead to Defer, or, where the configuration wants it, to the mail's being
// taken in all the same: by a last resort (Decide), or at the door (PassUnsure).
package policy
