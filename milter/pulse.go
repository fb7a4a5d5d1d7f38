package milter

import (
	"context"
	"sync"
	"time"
)

// pulse tells an MTA every progressEvery that it is to wait on, until it is stopped
// or the MTA is gone.
type pulse struct {
	progress func() error
	gone     context.CancelFunc // the MTA is

	mu      sync.Mutex
	stopped bool
	timer   *time.Timer
}

func startPulse(progress func() error, gone context.CancelFunc) *pulse {
	p := &pulse{progress: progress, gone: gone}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer = time.AfterFunc(progressEvery, p.beat)
	return p
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return
	}
	if err := p.progress(); err != nil {
		p.gone()
		return
	}
	p.timer.Reset(progressEvery)
}

// stop returns when nothing is being told any more: the reply comes next.
func (p *pulse) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	p.timer.Stop()
}
