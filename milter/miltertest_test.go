package milter

import (
	"context"
	"net"
	"os/exec"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy/server/servertest"
)

// miltertest(8), of the OpenDKIM project, is a client that nobody here wrote.
func TestByMiltertest(t *testing.T) {
	realhost.Need(t, "miltertest")
	for network, socket := range map[string]func(net.Addr) string{
		"unix": func(a net.Addr) string { return "unix:" + a.String() },
		"tcp": func(a net.Addr) string {
			host, port, _ := net.SplitHostPort(a.String())
			return "inet:" + port + "@" + host
		},
	} {
		t.Run(network, func(t *testing.T) {
			var s servertest.Searcher
			addr := startServer(t, network, &s, Options{TraceHeader: func() string { return "X-Postwhere" }})
			ctx, cancel := context.WithTimeout(t.Context(), testPatience)
			defer cancel()
			cmd := exec.CommandContext(ctx, "miltertest", "-v", "-D", "socket="+socket(addr), "-s", "testdata/miltertest.lua") //nolint:gosec // our own words
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if n := len(s.Asked()); n != 5*6 {
				t.Errorf("%d searches, want %d", n, 5*6)
			}
		})
	}
}
