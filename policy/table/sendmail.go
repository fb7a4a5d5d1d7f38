package table

import (
	"fmt"
	"strings"

	"postwhere/policy"
	"postwhere/policy/server"
)

// maxSendmailText is how much of a reply's text Sendmail is told: it has MAXNAME
// octets, 256, for what follows $: of the mailer error (buildaddr in its
// parseaddr.c).
const maxSendmailText = 200

// sendmail says where a recipient's mail goes, in the syntax of a mailertable,
// which Sendmail's ruleset MailerToTriple reads. Sendmail asks when the recipient
// is named, and again whenever it tries to deliver from its queue. As with the
// transport map a domain of ours is never not found: its mail would go to its MX.
//
// At delivery, and at the door too where no milter judges, error: refuses or
// bounces with 5xx, and with 4xx makes the client, or the queue, try again. Where
// a milter judges, the map SendmailDoor is asked at the door, and whatever is no
// host is temporary there: Sendmail then queues the message, unless the milter
// refuses the recipient.
func sendmail(f policy.Finding, door bool) Result {
	switch {
	case f.Verdict == policy.Deliver:
		return found(owner(f).Mailer)
	case f.Verdict == policy.Pass && !f.LetIn:
		return Result{Status: NotFound}
	case door:
		return temp(f)
	}
	r := server.Reply(f)
	if r.Code/100 == 5 && !f.Address.IsASCII() {
		// Sendmail uses octets above 127 for purposes of its own: this may not be
		// the address that the client has named.
		r.Code, r.Enhanced = 450, "4.1.1"
	}
	return found(fmt.Sprintf(`error:%s:"%d %s"`, r.Enhanced, r.Code, sendmailText(r.Text)))
}

// sendmailText returns a text that may stand between quotes in the value of a map
// of Sendmail's. %0 to %9 are arguments there, and a character above 127 may be
// one of Sendmail's own.
func sendmailText(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r == '\\':
			return '/'
		case r < ' ' || r > '~':
			return '?'
		}
		return r
	}, text)
	return strings.ReplaceAll(text[:min(len(text), maxSendmailText)], "%", "%%")
}
