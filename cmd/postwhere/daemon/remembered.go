package daemon

import (
	"bufio"
	"encoding/json"
	"io"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/control"
	"postwhere/policy"
)

// Dump writes all that is remembered, until the asker has gone.
func (d *Daemon) Dump(to io.Writer) {
	out := bufio.NewWriterSize(to, 1<<16)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	now := time.Now()
	write := func(n cache.Name, owner string, answers ...policy.Answer) bool {
		r := control.Remembered{Address: policy.AddressOf(n.Local, n.Domain).String(), Owner: owner, Answers: make([]control.StoredAnswer, len(answers))}
		for i, a := range answers {
			reply := a.Reply.String()
			if reply == "" {
				reply = a.Why
			}
			r.Answers[i] = control.StoredAnswer{
				Host: a.Host, Answer: a.Says.String(), Reply: reply, Method: a.Method, Age: max(now.Sub(a.At), 0).Seconds(),
			}
		}
		return lines.Encode(r) == nil
	}
	for e := range d.memory.Owners() {
		if !write(e.Name, e.Owner.Host, e.Owner) {
			return
		}
	}
	for st := range d.memory.Strangers() {
		if !write(st.Name, "", st.Answers...) {
			return
		}
	}
	_ = out.Flush()
}

// MemoryStats returns how full memory is.
func (d *Daemon) MemoryStats() control.MemoryStats {
	var s control.MemoryStats
	s.Owners, s.Strangers = d.memory.Len()
	d.mu.RLock()
	cfg, keeper := d.world.Config.Cache, d.keeper
	d.mu.RUnlock()
	s.MaxOwners, s.MaxStrangers, s.File = cfg.Owners, cfg.Strangers, cfg.File
	if keeper != nil {
		var why error
		if s.Bytes, why = keeper.State(); why != nil {
			s.Why = why.Error()
		}
	}
	if link := d.tiers.link.Load(); link != nil {
		state := link.State()
		s.Shared, s.SharedWaiting = state.Server, state.Waiting
		if state.Why != nil {
			s.SharedWhy = state.Why.Error()
		}
	}
	return s
}
