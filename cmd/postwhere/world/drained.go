package world

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// DrainedHosts are the names of the hosts that are out of the asking, and since
// when. They outlive worlds, and so reloads, but not the daemon. The zero value is
// ready, nil has none for ever; it may be used concurrently.
type DrainedHosts struct {
	changing sync.Mutex
	since    atomic.Pointer[map[string]time.Time] // not changed once it is stored
}

// Of returns since when a host is drained.
func (d *DrainedHosts) Of(name string) (since time.Time, drained bool) {
	if d == nil {
		return time.Time{}, false
	}
	if all := d.since.Load(); all != nil {
		since, drained = (*all)[name]
	}
	return since, drained
}

// Set drains hosts or ends that, and returns those for which it is a change.
func (d *DrainedHosts) Set(names []string, drained bool) (changed []string) {
	d.changing.Lock()
	defer d.changing.Unlock()
	all := make(map[string]time.Time)
	if old := d.since.Load(); old != nil {
		maps.Copy(all, *old)
	}
	for _, name := range names {
		if _, was := all[name]; was == drained {
			continue
		}
		changed = append(changed, name)
		if drained {
			all[name] = time.Now()
		} else {
			delete(all, name)
		}
	}
	d.since.Store(&all)
	return changed
}

// isDrained returns what tells whether a host is out of the asking.
func (w *World) isDrained(name string) func() bool {
	return func() bool {
		_, drained := w.past.Drained.Of(name)
		return drained
	}
}
