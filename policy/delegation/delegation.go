// Package delegation is the face that check_policy_service asks: Postfix's SMTP
// access policy delegation (SMTPD_POLICY_README). It judges a recipient while
// the client waits for the reply to RCPT TO.
package delegation

import (
	"bufio"
	"context"
	"fmt"

	"postwhere/policy"
	"postwhere/policy/server"
)

// Searcher finds the host of a recipient's mailbox. Its error is postwhere's own
// fault: there is no verdict then.
type Searcher interface {
	Search(ctx context.Context, r policy.Request) (policy.Finding, error)
}

// Exchange returns the function that answers policy requests, for a
// server.Server. Where there is no verdict it does not answer, which is what the
// manual asks for "in case of trouble": smtpd asks once more, and then says
// "451 4.3.5 Server configuration problem".
func Exchange(s Searcher) server.Exchange {
	return func(ctx context.Context, r *bufio.Reader, w *bufio.Writer) error {
		q, err := ReadRequest(r)
		if err != nil {
			return err
		}
		action := dunno
		if q.concernsRecipient() {
			f, err := s.Search(ctx, policy.Request{
				Recipient: q.Recipient,
				Unquoted:  true,
				Face:      "policy",
				QueueID:   q.QueueID,
				Client:    q.Client,
				Helo:      q.Helo,
				User:      q.User,
				Sender:    q.Sender,
				State:     q.State,
				Door:      true,
			})
			if err != nil {
				return fmt.Errorf("recipient %.80q: %w", q.Recipient, err)
			}
			action = Action(f)
		}
		// LF alone: smtpd takes a CR for a part of the value, and then waits for
		// the empty line until its time is up.
		_, err = w.WriteString("action=" + action + "\n\n")
		return err
	}
}

// concernsRecipient tells whether there is something to judge. At DATA and
// END-OF-MESSAGE the recipient is named too if it is the only one, but a verdict
// there would be about the message; it was judged at RCPT.
func (q Request) concernsRecipient() bool {
	return q.Recipient != "" && (q.State == "RCPT" || q.State == "VRFY")
}
