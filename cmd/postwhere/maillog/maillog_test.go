package maillog

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

func TestDecisionLine(t *testing.T) {
	mail1 := &policy.Host{Name: "mail1"}
	yes := []policy.Answer{{Host: "mail1", Says: policy.Yes}, {Host: "mail2", Says: policy.No}, {Host: "mail3"}}
	for _, c := range []struct {
		name    string
		request policy.Request
		finding policy.Finding
		err     error
		want    string
	}{
		{
			"deliver, everything known", policy.Request{Recipient: "anna@example.com", Face: "policy", QueueID: "4Zk3", Client: "192.0.2.1"},
			policy.Finding{Verdict: policy.Deliver, Host: mail1, Source: policy.SourceSearch, Answers: yes}, nil,
			"4Zk3: verdict=deliver rcpt=<anna@example.com> host=mail1 source=search code=250 answers=mail1:yes,mail2:no delay=0.0015 client=192.0.2.1 face=policy",
		},
		{
			"reject, by a map", policy.Request{Recipient: "x@example.com", Face: "socketmap"},
			policy.Finding{Verdict: policy.Reject, Source: policy.SourceMemory, Reply: policy.Reply{Code: 550}}, nil,
			"NOQUEUE: verdict=reject rcpt=<x@example.com> host=- source=memory code=550 answers=- delay=0.0015 client=- face=socketmap",
		},
		{
			"defer, and why", policy.Request{Recipient: "x@example.com", Face: "tcp"},
			policy.Finding{Reply: policy.Reply{Code: 450}, Why: "mail1: \"550 no\": not about the mailbox"}, nil,
			`NOQUEUE: verdict=defer rcpt=<x@example.com> host=- source=- code=450 answers=- delay=0.0015 client=- face=tcp why="mail1: \"550 no\": not about the mailbox"`,
		},
		{
			"let in unsure", policy.Request{Recipient: "x@example.com", Face: "policy"},
			policy.Finding{Verdict: policy.Pass, LetIn: true, Source: policy.SourceSearch, Answers: []policy.Answer{{Host: "mail1", Says: policy.Unsure}}, Why: "let in unsure: mail1: down"}, nil,
			`NOQUEUE: verdict=pass rcpt=<x@example.com> host=- source=search code=0 answers=mail1:unsure delay=0.0015 client=- face=policy why="let in unsure: mail1: down"`,
		},
		{
			"our own fault", policy.Request{Recipient: "x@example.com", Face: "control"}, policy.Finding{}, errors.New("internal fault: oops\n"),
			`NOQUEUE: verdict=fault rcpt=<x@example.com> host=- source=- code=0 answers=- delay=0.0015 client=- face=control why="internal fault: oops\n"`,
		},
		{"nothing known", policy.Request{}, policy.Finding{}, nil, "NOQUEUE: verdict=defer rcpt=<> host=- source=- code=0 answers=- delay=0.0015 client=- face=-"},
		{
			"a recipient with blanks, as Postfix logs it", policy.Request{Recipient: `"a b"@example.com`, Face: "policy"}, policy.Finding{}, nil,
			`NOQUEUE: verdict=defer rcpt=<"a b"@example.com> host=- source=- code=0 answers=- delay=0.0015 client=- face=policy`,
		},
		{
			"foreign text", policy.Request{Recipient: "a>\r\nX: verdict=deliver rcpt=<b\u2028\u202e@x", QueueID: "A: verdict=deliver\x1b", Client: "::1 face=x\n"}, policy.Finding{}, nil,
			"A:?verdict?deliver?: verdict=defer rcpt=<a???X: verdict=deliver rcpt=?b??@x> host=- source=- code=0 answers=- delay=0.0015 client=::1?face?x? face=-",
		},
	} {
		if got := decisionLine(c.request, c.finding, c.err, 1500*time.Microsecond); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

// decisionForm is what a program that reads the log may rely on.
var decisionForm = regexp.MustCompile(`^[^ ]+: verdict=(\w+) rcpt=<[^<>]*> host=(\S+) source=(\S+) code=(\d+) answers=(\S+) delay=\d+\.\d{4} client=[^ =]+ face=(\w+)( why=("[^"\\]*(?:\\.[^"\\]*)*"))?$`)

func TestForeignTextCannotForgeADecision(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		foreign := rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,40}`), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
		why := foreign.Draw(t, "why")
		line := decisionLine(policy.Request{
			Recipient: foreign.Draw(t, "recipient"), QueueID: foreign.Draw(t, "queue id"), Client: foreign.Draw(t, "client"), Face: "policy",
		}, policy.Finding{Verdict: policy.Reject, Source: policy.SourceMemory, Reply: policy.Reply{Code: 550}, Why: why}, nil, time.Second)
		m := decisionForm.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not a decision: %q", line)
		}
		if m[1] != "reject" || m[2] != "-" || m[3] != "memory" || m[4] != "550" || m[6] != "policy" {
			t.Fatalf("forged: %q", line)
		}
		if strings.ContainsFunc(line, unicode.IsControl) || len(line) > 4000 {
			t.Fatalf("not fit for a log: %q", line)
		}
		if m[8] != "" {
			if got, err := strconv.Unquote(m[8]); err != nil || got != clip(why, 300) && strings.ToValidUTF8(why, "") == why {
				t.Fatalf("why %q became %q, %v", why, got, err)
			}
		}
	})
}

func TestForeignRecipientsAreNotLogged(t *testing.T) {
	r := &testbed.Recorder{}
	m := New(r)
	m.Decision(policy.Request{Recipient: "x@elsewhere.example"}, policy.Finding{Verdict: policy.Pass}, nil, 0)
	if r.Text() != "" {
		t.Errorf("logged %q", r.Text())
	}
	m.Decision(policy.Request{Recipient: "x@example.com"}, policy.Finding{Verdict: policy.Pass, LetIn: true}, nil, 0)
	if !r.Logged("verdict=pass rcpt=<x@example.com>") {
		t.Errorf("who was let in was not logged: %q", r.Text())
	}
	m.Decision(policy.Request{Recipient: "x@elsewhere.example"}, policy.Finding{Verdict: policy.Pass}, errors.New("oops"), 0)
	if !r.Logged("verdict=fault rcpt=<x@elsewhere.example>") {
		t.Errorf("a fault was not logged: %q", r.Text())
	}
}

func TestProgramsLogIsOneLineEach(t *testing.T) {
	r := &testbed.Recorder{}
	New(r).Program().Warn("two\nlines", "why", "three\r\nmore\x1b")
	if got := r.Text(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `level=WARN msg="two\nlines" why="three\r\nmore\x1b"`) {
		t.Errorf("logged %q", got)
	}
}
