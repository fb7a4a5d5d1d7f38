package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// mailboxes of example.com in this file's tests, as they are called without quoting.
var oddMailboxes = []string{"anna", "Bert", "a b", `a"b`, `back\slash`, "a.b.c", "carla+news", "ünna", "x..y", ".dot", "e@f", "<g>", "(h)", "anna, b"}

// inBoth has the recipients that both faces are asked about: each local part in each
// of the ways in which a client may write it, 300 and more.
func inBoth() []string {
	quoted := func(local string) string {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	var all []string
	for _, local := range append(slices.Clone(oddMailboxes), "nobody", "ANNA", "bert", "no body", `no"body`, "anna+ext", "näbody") {
		for _, form := range []string{
			"<%s@example.com>", "%s@example.com", "<%s@Example.COM>", "<%s@example.com.>", "< %s@example.com >",
			"<@relay.example:%s@example.com>", "<@a.example,@b.example:%s@example.com>", "<%s(comment)@example.com>",
			"<%s @ example . com>", "<<%s@example.com>>", "<%s@elsewhere.example>", "<%s@sub.example.com>", "<%s@bücher.example>",
			"<%s@xn--bcher-kva.example>",
		} {
			all = append(all, fmt.Sprintf(form, quoted(local)))
			if !strings.ContainsAny(local, "\"\\<>(),@ ") {
				all = append(all, fmt.Sprintf(form, local))
			}
		}
	}
	return append(all,
		`<a."b".c@example.com>`, `<"a".b."c"@example.com>`, `<a\.b.c@example.com>`, `<a . b . c@example.com>`, `<a b@example.com>`,
		`<anna>`, `<postmaster>`, `<"postmaster">`, `<@example.com>`, `<anna@>`, `<>`, `<anna@@example.com>`, `<anna@example.com`, `anna@example.com>`,
		`<anna@[192.0.2.1]>`, `<anna@[IPv6:::1]>`, `<anna@192.0.2.1>`, `<anna@example..com>`, `<anna@-example.com>`, `<anna@example_.com>`,
		"<\xff@example.com>", "<anna@\xff.example>", "<anna@example.com> NOTIFY=NEVER", "<anna@example.com> FOO=bar", `<"anna@example.com>`,
		`<anna%example.com@example.com>`, `<anna%example.com>`, `<elsewhere.example!anna>`, `<Anna B <anna@example.com>>`, `"Anna B" <anna@example.com>`,
		`<(anna)@example.com>`, `<""@example.com>`, `<" "@example.com>`, "<anna\t@example.com>", `<anna;b@example.com>`, `<anna,bert@example.com>`,
		"<"+strings.Repeat("x", 300)+"@example.com>", "<x@"+strings.Repeat("x", 300)+".example.com>", `<group:anna@example.com;>`, `<"a\b"@example.com>`,
	)
}

// The milter sees what the client typed, the policy service what Postfix makes of
// it: they judge alike. Each has a daemon of its own, so that none knows what the
// other has found out.
func TestPolicyAndMilterJudgeAlike(t *testing.T) {
	t.Parallel()
	realhost.Need(t, "postfix")
	var hosts []string
	for i := range 2 {
		h := testbed.StartHost(t, func(to string) error {
			a, err := policy.ParseAddress(to)
			if err == nil && slices.Index(oddMailboxes, a.Local())%2 == i {
				return nil
			}
			return testbed.ErrNobody
		})
		hosts = append(hosts, h.Address)
	}
	text := fmt.Sprintf(`
[listen]
policy    = ["inet:127.0.0.1:0"]
milter    = ["inet:127.0.0.1:0"]
socketmap = []
control   = []
[[domain]]
name  = ["example.com", "bücher.example"]
hosts = ["mail1", "mail2"]
ask_as = "example.com"
[host.mail1]
probe = %q
[host.mail2]
probe = %q
`, hosts[0], hosts[1])
	byPolicy, policyEvents := startDaemon(t, text)
	byMilter, milterEvents := startDaemon(t, text)
	front := realhost.Postfix(t, realhost.PostfixConfig{
		Main: map[string]string{
			"relay_domains": "example.com, bücher.example, xn--bcher-kva.example", "smtpd_soft_error_limit": "10000", "smtpd_hard_error_limit": "10000",
			"smtpd_recipient_limit": "10000", "default_transport": "smtp", "line_length_limit": "20480",
		},
		SMTP: []realhost.SMTPService{
			{Options: []string{"smtpd_recipient_restrictions=check_policy_service {inet:" + byPolicy.AddressOf("policy") + ", timeout=60s}"}},
			{Options: []string{"smtpd_milters={inet:" + byMilter.AddressOf("milter") + ", protocol=6, default_action=tempfail}"}},
		},
	})
	words := inBoth()
	if len(words) < 300 {
		t.Errorf("only %d recipients", len(words))
	}
	clients := []*testbed.Client{testbed.DialSMTP(t, front.Addrs()[0]), testbed.DialSMTP(t, front.Addrs()[1])}
	for _, c := range clients {
		c.Cmd(t, "MAIL FROM:<s@src.example> SMTPUTF8", "250")
	}
	verdicts := make(map[string]int)
	for _, word := range words {
		before, beforeToo := len(policyEvents.All()), len(milterEvents.All())
		said, saidToo := clients[0].Say(t, "RCPT TO:"+word), clients[1].Say(t, "RCPT TO:"+word)
		if codes(said) != codes(saidToo) {
			t.Errorf("%s: by policy %q, by milter %q", word, said, saidToo)
		}
		found, foundToo := judged(policyEvents.All()[before:]), judged(milterEvents.All()[beforeToo:])
		if !slices.Equal(found, foundToo) {
			t.Errorf("%s: by policy %q, by milter %q", word, found, foundToo)
		}
		verdict, _, _ := strings.Cut(strings.Join(found, ""), " ")
		verdicts[verdict]++
	}
	for _, v := range []string{"deliver", "reject", "defer", ""} {
		if verdicts[v] < 10 {
			t.Errorf("only %d recipients of verdict %q: this compares little", verdicts[v], v)
		}
	}
	t.Logf("%d recipients: %v", len(words), verdicts)
}

// judged returns verdicts and the addresses that they are about. What is not ours
// Postfix may not even ask about.
func judged(events []testbed.Event) []string {
	var all []string
	for _, e := range events {
		if e.Finding.Verdict == policy.Pass {
			continue
		}
		all = append(all, fmt.Sprintf("%s of %s", e.Finding.Verdict, e.Finding.Address))
	}
	return all
}

// codes returns a reply's codes.
func codes(reply string) string {
	fields := strings.Fields(reply)
	return strings.Join(fields[:min(2, len(fields))], " ")
}
