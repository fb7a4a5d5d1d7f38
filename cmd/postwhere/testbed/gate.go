package testbed

import "sync"

// Gate holds up questions until it is opened.
type Gate struct {
	Reached chan string // takes each question that comes to the gate
	open    chan struct{}
	once    sync.Once
}

// NewGate returns one that is closed.
func NewGate() *Gate { return &Gate{Reached: make(chan string, 1000), open: make(chan struct{})} }

// Pass opens it.
func (g *Gate) Pass() { g.once.Do(func() { close(g.open) }) }

// Before lets no question through but nonsense until the gate is open.
func (g *Gate) Before(rcpt func(string) error) func(string) error {
	return func(to string) error {
		if !IsNonsense(to) {
			g.Reached <- to
			<-g.open
		}
		return rcpt(to)
	}
}
