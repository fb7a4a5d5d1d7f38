package world

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"postwhere/policy"
)

// Dialogue is what was said and heard, secrets masked. The zero value is ready; it
// may be used concurrently.
type Dialogue struct {
	mu    sync.Mutex
	lines []TraceLine
}

// Note is a probe.Trace.
func (d *Dialogue) Note(host string, sent bool, line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, TraceLine{Host: host, Sent: sent, Line: line})
}

// Fault notes why a host gave no answer, if it gave none: often there is no dialogue
// that would say so.
func (d *Dialogue) Fault(a policy.Answer) {
	if a.Says != policy.Unsure || a.Reply.Code != 0 || a.Why == "" {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if l := (TraceLine{Host: a.Host, Line: a.Why, Fault: true}); !slices.Contains(d.lines, l) { // asked again, without the extension
		d.lines = append(d.lines, l)
	}
}

// faultTeller tells of each answer of a host's.
type faultTeller struct {
	Prober
	tell func(policy.Answer)
}

// TellAnswers has a function told of each answer of the hosts that there are now. It is
// for a world that was not started and has not been asked yet.
func (w *World) TellAnswers(of func(policy.Answer)) {
	for _, h := range w.AllHosts() {
		h.Prober = faultTeller{ProberOf(h), of}
	}
}

func (f faultTeller) Ask(ctx context.Context, a policy.Address) policy.Answer {
	answer := f.Prober.Ask(ctx, a)
	f.tell(answer)
	return answer
}

// Heard returns the lines so far.
func (d *Dialogue) Heard() []TraceLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lines)
}

// TraceLine is one line of a dialogue, or what went wrong with it.
type TraceLine struct {
	Host  string `json:"host"`
	Sent  bool   `json:"sent"`
	Line  string `json:"line"`
	Fault bool   `json:"fault,omitempty"` // nobody said the line: it is why there is no answer
}

func (l TraceLine) String() string {
	arrow := "<"
	switch {
	case l.Fault:
		arrow = "!"
	case l.Sent:
		arrow = ">"
	}
	return fmt.Sprintf("  %s %s %s", l.Host, arrow, l.Line)
}
