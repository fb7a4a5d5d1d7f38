package bench

import (
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
)

const (
	// ordinary and ahead are priorities of SCHED_RR (sched(7)).
	ordinary = 10
	ahead    = 20
)

// realTime has this process, and all that it starts from now on, run until each has to wait,
// for as long as the benchmark lasts: hosts that are distant have processors of their own, and
// do not interrupt one another, nor us, for a turn of theirs.
func realTime(b *testing.B) {
	b.Helper()
	self := strconv.Itoa(os.Getpid())
	if !turns(b, "--rr", ordinary, self) {
		return
	}
	b.Cleanup(func() { turns(b, "--other", 0, self) })
}

// sharedAhead has those go ahead that all sessions of a Postfix host wait for: on a machine of
// its own it is that host's sessions only that they would take turns with. Those that are
// started later do not.
func sharedAhead(b *testing.B) {
	b.Helper()
	for pid, p := range processes(b) {
		if slices.Contains([]string{"trivial-rewrite", "postlogd"}, p.name) && !turns(b, "--rr", ahead, pid) {
			return
		}
	}
}

// turns sets how all threads of a process take turns with others. It tells whether it may.
func turns(b *testing.B, policy string, priority int, pid string) bool {
	b.Helper()
	out, err := exec.Command("chrt", "--all-tasks", policy, "--pid", strconv.Itoa(priority), pid).CombinedOutput()
	if err != nil && !isGone(pid) {
		b.Logf("in ordinary turns, which makes it slower: chrt: %v: %s", err, out)
		return false
	}
	return true
}

func isGone(pid string) bool {
	_, err := os.Stat("/proc/" + pid)
	return os.IsNotExist(err)
}
