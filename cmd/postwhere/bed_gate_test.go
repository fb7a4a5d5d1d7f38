package main

import (
	"sync"
)

// gate holds up questions until it is opened.
type gate struct {
	reached chan string // takes each question that comes to the gate
	open    chan struct{}
	once    sync.Once
}

func newGate() *gate { return &gate{reached: make(chan string, 1000), open: make(chan struct{})} }

func (g *gate) pass() { g.once.Do(func() { close(g.open) }) }

// before lets no question through but nonsense until the gate is open.
func (g *gate) before(rcpt func(string) error) func(string) error {
	return func(to string) error {
		if !isNonsense(to) {
			g.reached <- to
			<-g.open
		}
		return rcpt(to)
	}
}
