package milter

import (
	"strings"
	"testing"

	"postwhere/policy"
	"postwhere/policy/server/servertest"
)

func TestTraceHeader(t *testing.T) {
	m := inMessage(t, startServer(t, "tcp", &servertest.Searcher{}, Options{TraceHeader: func() string { return "X-Postwhere" }}))
	says := func(words ...string) {
		t.Helper()
		for _, w := range words {
			m.send(rcptOf(w))
			m.read()
		}
		m.send(frame('E', ""))
	}
	says("<anna@example.com>", "<nobody@example.com>", "<later@example.com>", "<x@elsewhere.example>", `<"b c"@example.com>`)
	m.wants("i\x00\x00\x00\x00X-Postwhere\x00anna@example.com mail1,\n\t\"b c\"@example.com mail1\x00")
	m.wants("a")
	// Another message has nothing of the one before, and one without owners no header.
	m.send(frame('M', "<>\x00"))
	says("<nobody@example.com>")
	m.wants("a")
	m.send(frame('M', "<>\x00"), rcptOf("<anna@example.com>"), frame('A', ""), frame('M', "<>\x00"))
	m.wants(goOn)
	says("<ünna@example.com>")
	m.wants("i\x00\x00\x00\x00X-Postwhere\x00=?utf-8?q?=C3=BCnna@example.com_mail1?=\x00")
	m.wants("a")
}

func TestNoTraceHeaderUnlessItIsWanted(t *testing.T) {
	for _, header := range []func() string{nil, func() string { return "" }} {
		m := inMessage(t, startServer(t, "tcp", &servertest.Searcher{}, Options{TraceHeader: header}))
		m.send(rcptOf("<anna@example.com>"), frame('E', ""))
		m.wants(goOn)
		m.wants("a")
	}
}

func TestTraceValueHasItsBounds(t *testing.T) {
	var owners []string
	for range 1000 {
		f := policy.Finding{Host: &policy.Host{Name: strings.Repeat("h", 200)}}
		owners = append(owners, ownerOf(f))
	}
	got := traceValue(owners)
	if len(got) > maxTrace+100 || !strings.HasSuffix(got, " more") {
		t.Errorf("%d octets, at the end %q", len(got), got[len(got)-20:])
	}
	if got := ownerOf(policy.Finding{}); !strings.HasSuffix(got, " ?") {
		t.Error(got)
	}
}
