package delegation

import (
	"postwhere/policy"
	"postwhere/policy/server"
)

// dunno leaves the decision to the restrictions behind this one. Postwhere never
// says OK, which would skip them (access(5)).
const dunno = "DUNNO"

// Action returns what a finding means in the language of access(5), in one line:
// DUNNO, or a reply with both its codes and a text. A code alone would not do:
// to Postfix an action that is all-numeric means OK.
func Action(f policy.Finding) string {
	switch f.Verdict {
	case policy.Deliver, policy.Pass:
		return dunno
	}
	return server.Reply(f).String()
}
