package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// processorTime returns what this process, all that it has started, and what those
// started and outlived, have used of the processors' time (proc_pid_stat(5)).
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		b.Skip("there is no /proc")
	}
	parents, used := make(map[string]string), make(map[string]time.Duration)
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// Behind the name, in parentheses: state, parent, and from the 12th on the
		// times of its own and of its children, in hundredths of a second.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		pid := filepath.Base(filepath.Dir(path))
		parents[pid] = fields[1]
		for _, ticks := range fields[11:15] {
			n, _ := strconv.Atoi(ticks)
			used[pid] += time.Duration(n) * 10 * time.Millisecond
		}
	}
	self := strconv.Itoa(os.Getpid())
	var sum time.Duration
	for pid, time := range used {
		for at := pid; at != ""; at = parents[at] {
			if at == self {
				sum += time
				break
			}
		}
	}
	return sum
}
