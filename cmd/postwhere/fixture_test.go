package main

import (
	"io"
	"testing"

	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
)

// startDaemon runs a daemon by a configuration until the test ends, and records
// what it decides.
func startDaemon(t *testing.T, text string) (*daemon, *testbed.Recorder) {
	t.Helper()
	r := &testbed.Recorder{}
	d := newDaemon(maillog.New(io.MultiWriter(testbed.Log(t), r)), r.Observe)
	testbed.Run(t, d, testbed.Parse(t, text))
	return d, r
}
