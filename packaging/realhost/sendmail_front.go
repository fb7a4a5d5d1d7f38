package realhost

import (
	"regexp"
	"testing"
)

// SendmailFront is a Sendmail that has no mailboxes and passes mail on.
type SendmailFront struct {
	*Server
	sendmail *sendmail
}

// Front starts a Sendmail without mailboxes that ends with the test; of the
// configuration, Addr, Define, MC and End count. It returns when it greets. It relays
// for clients at 127.0.0.1, for others only what SendmailConfig.MC lets it.
//
// It tries to deliver at once what it has accepted. What stays in the queue waits
// for [SendmailFront.RunQueue].
func (cfg SendmailConfig) Front(t testing.TB) *SendmailFront {
	t.Helper()
	cfg.Domains, cfg.Mailboxes, cfg.Aliases = "", nil, nil
	m := newSendmail(t, cfg)
	m.tell(t, nil)
	m.guard(t)
	m.Start(t)
	return &SendmailFront{m.Server, m}
}

// beingDelivered is what Sendmail marks a message in mailq(1) with that a process is
// at work on.
var beingDelivered = regexp.MustCompile(`(?m)^\w+\*`)

// RunQueue tries to deliver, once, all that is in the queue. It returns when each
// message is delivered, has bounced or is to wait.
func (f *SendmailFront) RunQueue(t testing.TB) {
	t.Helper()
	// One that another process delivers, such as the one that accepted it, would be
	// passed over.
	if !poll(func() bool { return !beingDelivered.MatchString(f.Queue(t)) }) {
		t.Fatalf("realhost: a delivery does not end:\n%s\n%s", f.Queue(t), f.Log())
	}
	f.run(t, "-q")
}

// Queue returns what mailq(1) says: the messages in the queue, with recipients and
// reasons.
func (f *SendmailFront) Queue(t testing.TB) string {
	t.Helper()
	return f.run(t, "-bp")
}

func (f *SendmailFront) run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := f.command(f.sendmail.program(args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("realhost: sendmail %v: %v\n%s", args, err, out)
	}
	return string(out)
}
