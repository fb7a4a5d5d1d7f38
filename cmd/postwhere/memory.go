package main

import (
	"sync"

	"postwhere/policy"
)

// lentMemory is the memory as a world has it. When a world ends, its hosts may
// have other machines behind their names: what they say from then on must not
// be remembered for those, since a no of theirs could refuse a mailbox. A yes
// may: it is kept over a reload in any case.
type lentMemory struct {
	policy.Memory

	mu    sync.RWMutex
	ended bool
}

// Keep remembers answers, until the memory is taken back.
func (m *lentMemory) Keep(a policy.Address, answers []policy.Answer) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ended {
		m.Memory.Keep(a, answers)
	}
}

// takeBack ends the lending: when it returns, no Keep is under way or follows.
func (m *lentMemory) takeBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
}
