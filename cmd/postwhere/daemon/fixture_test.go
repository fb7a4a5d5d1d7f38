package daemon

import (
	"io"
	"testing"

	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// startDaemon runs a daemon by a configuration until the test ends, and records
// what it decides.
func startDaemon(t *testing.T, text string) (*Daemon, *testbed.Recorder) {
	t.Helper()
	r := &testbed.Recorder{}
	d := New(maillog.New(io.MultiWriter(testbed.Log(t), r)), r.Observe)
	testbed.Run(t, d, testbed.Parse(t, text))
	return d, r
}

// hostName is that of the owner, "" if there is none.
func hostName(f policy.Finding) string {
	if f.Host == nil {
		return ""
	}
	return f.Host.Name
}
