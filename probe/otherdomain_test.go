package probe

import (
	"fmt"
	"strings"
	"testing"

	"postwhere/policy"
)

// One connection carries questions about many domains. A host that is one reply
// behind says of the next address what it has to say of the last, and names it: that
// is no no, whichever domain the last one was in.
func TestRefusalOfAnAddressOfAnotherDomainIsNoNo(t *testing.T) {
	for _, vrfy := range []bool{true, false} {
		usual := has(vrfy, "anna")
		h := newHost(t, func(d *dialogue, verb, arg string) string {
			said := usual(d, verb, arg)
			if (verb == "VRFY" || verb == "RCPT") && strings.Contains(arg, "anna@two.test") {
				return usual(d, verb, strings.Replace(arg, "anna@two.test", "nobody@one.test", 1))
			}
			return said
		})
		p := ofHost(t, h)
		wantSays(t, p, "nobody@one.test", policy.No)
		wantSays(t, p, "nobody@two.test", policy.No)
		wantSays(t, p, "anna@two.test", policy.Unsure)
	}
}

// Hosts that name each address in a domain of their own, or whom to write to in
// another domain, do so of the nonsense address, too.
func TestHostThatNamesAnotherDomainInEachRefusalIsBelieved(t *testing.T) {
	for name, refusal := range map[string]string{
		"a domain of its own": "550 5.1.1 <%s@store7.internal>: User unknown",
		"its helpdesk":        "550 5.1.1 <%s@d.test>: User unknown, write to help@provider.test",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, func(_ *dialogue, verb, arg string) string {
				local, _, _ := strings.Cut(strings.TrimPrefix(arg, "TO:<"), "@")
				switch {
				case verb != "RCPT":
					return ""
				case local == "anna", local == "postmaster":
					return "250 2.1.5 Ok"
				}
				return fmt.Sprintf(refusal, local)
			})
			p := ofHost(t, h)
			wantSays(t, p, "nobody@d.test", policy.No)
			wantSays(t, p, "anna@d.test", policy.Yes)
		})
	}
}
