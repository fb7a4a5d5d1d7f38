package probe

import "errors"

// errDrained: the host is out of the asking.
var errDrained = errors.New("it is drained, and not asked")

func (c *Config) drained() bool { return c.Drained != nil && c.Drained() }

// CloseIdle ends the connections that nobody uses, each with QUIT. It is for a host
// that has just been drained: those in use end when their questions are answered.
func (p *Prober) CloseIdle() {
	for _, held := range p.pool.AcquireAllIdle() {
		held.Destroy()
	}
}

// leaveDrained ends connections that have come to rest after the host was drained.
func (p *Prober) leaveDrained() {
	if p.cfg.drained() {
		p.CloseIdle()
	}
}

// CloseIdle does nothing: no socket outlives its question.
func (p *MingerProber) CloseIdle() {}
