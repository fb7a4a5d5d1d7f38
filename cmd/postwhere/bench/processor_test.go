package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// process is one that this one has started, or one of those has, or this one itself.
type process struct {
	name string        // at most 15 bytes of it
	used time.Duration // of the processors' time, by itself and by those that it outlived
}

// processorTime returns what this process, all that it has started, and what those
// started and outlived, have used of the processors' time.
func processorTime(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, p := range processes(b) {
		sum += p.used
	}
	return sum
}

// processes returns this process, and all that it has started and those have, by their
// numbers (proc_pid_stat(5)).
func processes(b *testing.B) map[string]process {
	b.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		b.Skip("there is no /proc")
	}
	parents, all := make(map[string]string), make(map[string]process)
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// The name, in parentheses; behind it: state, parent, and from the 12th on the
		// times of its own and of its children, in hundredths of a second.
		said, end := string(data), strings.LastIndexByte(string(data), ')')
		p := process{name: said[strings.IndexByte(said, '(')+1 : end]}
		fields := strings.Fields(said[end+1:])
		pid := filepath.Base(filepath.Dir(path))
		parents[pid] = fields[1]
		for _, ticks := range fields[11:15] {
			n, _ := strconv.Atoi(ticks)
			p.used += time.Duration(n) * 10 * time.Millisecond
		}
		all[pid] = p
	}
	self := strconv.Itoa(os.Getpid())
	ours := make(map[string]process)
	for pid, p := range all {
		for at := pid; at != ""; at = parents[at] {
			if at == self {
				ours[pid] = p
				break
			}
		}
	}
	return ours
}
