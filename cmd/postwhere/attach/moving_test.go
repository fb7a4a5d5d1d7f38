package attach

import (
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// A mailbox moves while its old host is remembered: the message that was accepted
// for it is not bounced by the old host, but found a way to the new one.
func TestPostfixMailForAMailboxThatMovedIsNotBounced(t *testing.T) {
	t.Parallel()
	s := newSiteWith(t, ByPolicy, "[postfix]\ntransport = \"moving\"\n")
	s.arrives(t, "before", "anna@example.com")
	s.hosts["mail1"].RemoveMailbox(t, "anna@example.com")
	s.hosts["mail2"].AddMailbox(t, "anna@example.com")
	for _, name := range []string{"mail1", "mail2"} { // ends the sessions that began with the old mailboxes
		s.hosts[name].Stop(t)
		s.hosts[name].Start(t)
	}
	testbed.DialSMTP(t, s.front.Addr()).Send(t, "after", "anna@example.com")
	s.front.WaitLog(t, `to=<anna@example.com>.*status=deferred.*450`)

	// A minute and a half later, in which the memory cannot be made to believe here:
	// the look-up for the next try sends a question to the old owner behind it.
	a, err := policy.ParseAddress("anna@example.com")
	if err != nil {
		t.Fatal(err)
	}
	s.daemon.Memory().Own(a, policy.Answer{Host: "mail1", Says: policy.Yes, At: time.Now().Add(-2 * time.Minute)})
	if !realhost.Eventually(func() bool {
		// The queue manager keeps the last answer of the map for 30 s.
		testbed.DialSMTP(t, s.front.Addr()).Send(t, "something else", "bert@example.com")
		s.front.Run(t, "postqueue", "-f")
		return len(s.hosts["mail2"].Messages(t, "anna@example.com")) > 0
	}) {
		t.Errorf("the message is not on mail2:\n%s", s.front.Log())
	}
	if len(s.hosts["mail1"].Messages(t, "anna@example.com")) != 1 {
		t.Error("the message is on mail1")
	}
}
