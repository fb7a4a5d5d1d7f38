package attach

import (
	"io"
	"testing"

	"postwhere/cmd/postwhere/daemon"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
)

// startDaemon runs a daemon by a configuration until the test ends, and records
// what it decides.
func startDaemon(t *testing.T, text string) (*daemon.Daemon, *testbed.Recorder) {
	t.Helper()
	r := &testbed.Recorder{}
	d := daemon.New(maillog.New(io.MultiWriter(testbed.Log(t), r)), r.Observe)
	testbed.Run(t, d, testbed.Parse(t, text))
	return d, r
}
