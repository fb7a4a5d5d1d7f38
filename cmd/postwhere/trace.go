package main

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"postwhere/policy"
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
	d.lines = append(d.lines, traceLine{Host: host, Sent: sent, Line: line})
}

// fault notes why a host gave no answer, if it gave none: often there is no dialogue
// that would say so.
func (d *dialogue) fault(a policy.Answer) {
	if a.Says != policy.Unsure || a.Reply.Code != 0 || a.Why == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := (traceLine{Host: a.Host, Line: a.Why, Fault: true}); !slices.Contains(d.lines, l) { // asked again, without the extension
		d.lines = append(d.lines, l)
	}
}

// faultTeller tells of each answer of a host's.
type faultTeller struct {
	prober
	tell func(policy.Answer)
}

// tell has a function told of each answer of the hosts' that there are now. It is for a
// world that was not started and has not been asked yet.
func (w *world) tell(of func(policy.Answer)) {
	for _, h := range w.allHosts() {
		h.Prober = faultTeller{proberOf(h), of}
	}
}

func (f faultTeller) Ask(ctx context.Context, a policy.Address) policy.Answer {
	answer := f.prober.Ask(ctx, a)
	f.tell(answer)
	return answer
}

// heard returns the lines so far.
func (d *dialogue) heard() []traceLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// traceLine is one line of a dialogue, or what went wrong with it.
type traceLine struct {
	Host  string `json:"host"`
	Sent  bool   `json:"sent"`
	Line  string `json:"line"`
	Fault bool   `json:"fault,omitempty"` // nobody said the line: it is why there is no answer
}

func (l traceLine) String() string {
	arrow := "<"
	switch {
	case l.Fault:
		arrow = "!"
	case l.Sent:
		arrow = ">"
	}
	return fmt.Sprintf("  %s %s %s", l.Host, arrow, l.Line)
}
