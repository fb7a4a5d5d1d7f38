package world

import (
	"sync"
	"time"

	"postwhere/policy"
)

// lentMemory is the memory as a world has it. When a world ends, its hosts may
// have other machines behind their names: what they say from then on must not
// be remembered for those, since a no of theirs could refuse a mailbox. A yes
// may: it is kept over a reload in any case.
type lentMemory struct {
	policy.Memory

	mu    sync.RWMutex
	ended time.Time // zero: it has not
}

// Own remembers an owner. What the old machine says late is taken for what it said
// before: it is distrusted from then on.
func (m *lentMemory) Own(a policy.Address, yes policy.Answer) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if !m.ended.IsZero() && yes.At.After(m.ended) {
		yes.At = m.ended
	}
	m.Memory.Own(a, yes)
}

// Keep remembers answers, until the memory is taken back.
func (m *lentMemory) Keep(a policy.Address, answers []policy.Answer) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.ended.IsZero() {
		m.Memory.Keep(a, answers)
	}
}

// takeBack ends the lending: when it returns, no Keep is under way or follows.
func (m *lentMemory) takeBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = time.Now().Add(-1) // before the host is distrusted, however coarse the clock
}
