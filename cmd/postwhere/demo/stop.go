package demo

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"postwhere/policy"
)

// stop is one look-up of the tour, and what is expected of it.
type stop struct {
	title   string
	rcpt    string
	verdict policy.Verdict
	host    string
	source  string // "": either
}

// look asks as Postfix does, over the network, and shows what came of it.
func (t *tour) look(ctx context.Context, s stop) error {
	t.steps++
	t.say("%2d. RCPT TO:<%s>   (%s)", t.steps, s.rcpt, s.title)
	action, f, err := t.askAsSender(ctx, s)
	if err != nil {
		return err
	}
	t.showAnswers(f)
	transport, err := t.askSocketmap(ctx, "transport", s.rcpt)
	if err != nil {
		return err
	}
	t.showVerdict(f)
	t.say("    Postfix is told     policy service: %s\n                        transport map:  %s", action, transport)
	if f.Verdict != s.verdict || ownerOf(f) != s.host || s.source != "" && f.Source != s.source {
		t.wrong++
		t.say("    NOT AS EXPECTED     want %s %s %s", s.verdict, s.host, s.source)
	}
	t.say("")
	return nil
}

// askAsSender asks once, or again and again as a sender does who was told to:
// a host that was down is tried in the background, and is up a moment later.
func (t *tour) askAsSender(ctx context.Context, s stop) (action string, f policy.Finding, err error) {
	for deadline := time.Now().Add(senderPatience); ; time.Sleep(unsureTime) {
		if action, err = t.askPolicy(ctx, s.rcpt); err != nil {
			return "", f, err
		}
		t.mu.Lock()
		f = t.last
		t.mu.Unlock()
		if f.Verdict == s.verdict || f.Verdict != policy.Defer || time.Now().After(deadline) {
			return action, f, ctx.Err()
		}
	}
}

// showAnswers shows what each host said, in its own words.
func (t *tour) showAnswers(f policy.Finding) {
	for _, a := range f.Answers {
		switch {
		case a.Says == policy.Unasked:
			t.say("    %s               (its answer was not waited for)", a.Host)
		case a.Reply.Code != 0:
			t.say("    %s %-6s        %s", a.Host, a.Says, a.Reply)
		default:
			t.say("    %s %-6s        %s", a.Host, a.Says, a.Why)
		}
	}
}

func (t *tour) showVerdict(f policy.Finding) {
	text := f.Verdict.String()
	if f.Host != nil {
		text += ": " + f.Host.Name
	}
	switch f.Source {
	case policy.SourceMemory:
		text += fmt.Sprintf(", from memory, %d ms old, nobody was asked", f.Age.Milliseconds())
	case policy.SourceNone:
		text += ", nobody was asked"
	}
	t.say("    verdict             %s", text)
}

func ownerOf(f policy.Finding) string {
	if f.Host == nil {
		return ""
	}
	return f.Host.Name
}

// askPolicy puts the request to the policy service that smtpd puts at RCPT TO.
func (t *tour) askPolicy(ctx context.Context, rcpt string) (action string, err error) {
	request := "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=" + rcpt + "\n\n"
	err = t.exchange(ctx, "policy", request, func(reply *bufio.Reader) error {
		action, err = reply.ReadString('\n')
		return err
	})
	return strings.TrimSpace(action), err
}

// askSocketmap looks a key up as trivial-rewrite does.
func (t *tour) askSocketmap(ctx context.Context, table, key string) (value string, err error) {
	query := table + " " + key
	err = t.exchange(ctx, "socketmap", fmt.Sprintf("%d:%s,", len(query), query), func(reply *bufio.Reader) error {
		var length int
		if _, err := fmt.Fscanf(reply, "%d:", &length); err != nil {
			return err
		}
		text := make([]byte, length)
		_, err := io.ReadFull(reply, text)
		value = string(text)
		return err
	})
	return value, err
}

// exchange sends a request to one of the daemon's faces and has the reply read.
func (t *tour) exchange(ctx context.Context, face, request string, read func(*bufio.Reader) error) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", t.daemon.AddressOf(face))
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		return err
	}
	return read(bufio.NewReader(conn))
}

func (t *tour) introduce() {
	t.say(`postwhere: one mail domain, mailboxes on many hosts.

    example.com     mail1 has  anna
                    mail2 has  bert
                    mail3 has  carla, dora

Postfix asks postwhere about each recipient; postwhere asks the hosts "is this
mailbox yours?", by VRFY or RCPT TO, and tells Postfix what follows.
`)
}

// invite says how to go on by hand.
func (t *tour) invite() {
	t.say(`
The hosts and the daemon stay up until Ctrl-C. In another terminal:

    go run ./cmd/postwhere -c %[1]s query anna@example.com nobody@example.com
    go run ./cmd/postwhere -c %[1]s query --trace dora@example.com
    go run ./cmd/postwhere -c %[1]s check
    postmap -q carla@example.com socketmap:inet:%[2]s:transport
    printf 'request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=bert@example.com\n\n' | nc -N %[3]s
`, t.file, t.daemon.AddressOf("socketmap"), strings.ReplaceAll(t.daemon.AddressOf("policy"), ":", " "))
	for _, h := range t.hosts {
		t.say("    %s takes mail at %s", h.Name, h.Address())
	}
}
