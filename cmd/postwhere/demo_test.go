package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// writerFunc makes a writer of a function.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestDemoStaysUntilItIsTold(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out bytes.Buffer
	status := run(ctx, []string{"demo", "--stay"}, streams{nil, writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("mail3 takes mail at")) {
			interrupt()
		}
		return out.Write(p)
	}), &out})
	if status != exitOK {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{"All 12 verdicts were as expected.", "stay up until Ctrl-C", "query --trace dora@example.com", "mail1 takes mail at 127.0.0.1:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

func TestDemoThatIsInterruptedLeavesNothing(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	t.Setenv("TMPDIR", t.TempDir())
	var out, errors bytes.Buffer
	status := run(ctx, []string{"demo"}, streams{nil, writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("mail3 goes down")) {
			interrupt()
		}
		return out.Write(p)
	}), &errors})
	if status != exitProblem || errors.String() != "postwhere: context canceled\n" {
		t.Errorf("exit status %d, %q", status, errors.String())
	}
}
