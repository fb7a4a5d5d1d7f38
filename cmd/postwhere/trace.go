package main

import (
	"fmt"
	"slices"
	"sync"
)

// dialogue is what was said and heard, secrets masked. The zero value is ready; it
// may be used concurrently.
type dialogue struct {
	mu    sync.Mutex
	lines []traceLine
}

// note is a probe.Trace.
func (d *dialogue) note(host string, sent bool, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, traceLine{host, sent, line})
}

// heard returns the lines so far.
func (d *dialogue) heard() []traceLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// traceLine is one line of a dialogue.
type traceLine struct {
	Host string `json:"host"`
	Sent bool   `json:"sent"`
	Line string `json:"line"`
}

func (l traceLine) String() string {
	arrow := "<"
	if l.Sent {
		arrow = ">"
	}
	return fmt.Sprintf("  %s %s %s", l.Host, arrow, l.Line)
}
