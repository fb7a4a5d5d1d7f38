package milter

import (
	"context"
	"sync"
	"time"
)

// pulse tells an MTA, while a search for it goes on, every progressEvery that it is
// to wait on. Most searches are over at once, and a timer is dear: one that was set
// for a search is left running, and looks what there is to do when it is its time.
type pulse struct {
	gone context.CancelFunc // the MTA is

	mu    sync.Mutex
	timer *time.Timer
	set   bool        // the timer is
	to    interface { // who waits, nil: nobody
		Progress() error
	}
	since time.Time // of the search, or of the last sign of life
}

// begin says that a search begins for an MTA.
func (p *pulse) begin(to interface{ Progress() error }) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to, p.since = to, time.Now()
	if !p.set {
		p.sleep(progressEvery)
	}
}

// sleep sets the timer. mu is locked.
func (p *pulse) sleep(d time.Duration) {
	p.set = true
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.beat)
		return
	}
	p.timer.Reset(d)
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = false
	if p.to == nil {
		return
	}
	if early := progressEvery - time.Since(p.since); early > 0 {
		p.sleep(early)
		return
	}
	if err := p.to.Progress(); err != nil {
		p.gone()
		return
	}
	p.since = time.Now()
	p.sleep(progressEvery)
}

// rest returns when nothing is being told any more: the reply comes next.
func (p *pulse) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = nil
}

// end is rest for good.
func (p *pulse) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = nil
	if p.timer != nil {
		p.timer.Stop()
	}
}
