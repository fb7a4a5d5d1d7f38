package probe

import (
	"context"
	"sync"
	"time"
)

// maxCalibrations is how many are remembered of one host, which may have many
// domains. What is beyond them is asked for again.
const maxCalibrations = 4096

// calibrations are those of one host. The zero value is ready; it may be used
// concurrently.
type calibrations struct {
	mu      sync.Mutex
	known   map[calibrationKey]calibrated
	learnt  map[calibrationKey]string // addresses that were accepted when the control was not
	flights map[calibrationKey]*flight
}

// calibrated is a calibration, and what follows from it and is often asked for.
type calibrated struct {
	Calibration
	repeats bool // the refusal has the address, and no other
}

// flight is a calibration under way.
type flight struct {
	done chan struct{}
	err  error // why nobody else need try, once done
}

// find returns what is known, or lets one caller at a time find it out by ask,
// for which the others wait as long as their contexts last. ask is given an
// address that the host has accepted of late, if there is one. It tells whether
// an error was only its own (its context's, or its connection's): then the next
// one tries.
func (c *calibrations) find(ctx context.Context, k calibrationKey, ask func(learnt string) (found Calibration, mine bool, err error)) (Calibration, error) {
	for {
		c.mu.Lock()
		if known, ok := c.known[k]; ok && !known.expired(time.Now()) {
			c.mu.Unlock()
			return known.Calibration, nil
		}
		f, joined := c.flights[k]
		if !joined {
			f = c.begin(k)
		}
		learnt := c.learnt[k]
		c.mu.Unlock()
		if !joined {
			return c.lead(k, f, learnt, ask)
		}
		select {
		case <-f.done:
			if f.err != nil {
				return Calibration{}, f.err
			}
		case <-ctx.Done():
			return Calibration{}, ctx.Err()
		}
	}
}

// begin notes a flight. The lock is held.
func (c *calibrations) begin(k calibrationKey) *flight {
	if c.flights == nil {
		c.flights = make(map[calibrationKey]*flight)
	}
	f := &flight{done: make(chan struct{})}
	c.flights[k] = f
	return f
}

func (c *calibrations) lead(k calibrationKey, f *flight, learnt string, ask func(string) (Calibration, bool, error)) (Calibration, error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.flights, k)
		close(f.done)
	}()
	found, mine, err := ask(learnt)
	switch {
	case err == nil:
		c.put(k, found)
	case !mine:
		f.err = err
	}
	return found, err
}

func (c *calibrations) put(k calibrationKey, value Calibration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = make(map[calibrationKey]calibrated)
	}
	if _, ok := c.known[k]; !ok && len(c.known) >= maxCalibrations {
		for other := range c.known {
			delete(c.known, other)
			break
		}
	}
	c.known[k] = calibrated{value, mentions(value.Refusal, value.Nonsense) && !namesAnother(value.Refusal, value.Nonsense)}
	delete(c.learnt, k)
}

// sawAcceptance notes that the host has accepted an address of the domain. If it
// had refused its control, it is calibrated again, with this one as the control:
// then a refusal and an acceptance stand side by side. What it said while it
// refused everybody may be what it says of us, and no measure of a no.
func (c *calibrations) sawAcceptance(k calibrationKey, address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.known[k]; ok && known.Tells && !known.Accepts && known.isDoubtful() {
		if c.learnt == nil {
			c.learnt = make(map[calibrationKey]string)
		}
		if len(c.learnt) >= maxCalibrations {
			clear(c.learnt)
		}
		c.learnt[k] = address
		delete(c.known, k)
	}
}

// peek returns what is known, without asking.
func (c *calibrations) peek(k calibrationKey) (calibrated, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.known[k]
	return known, ok && !known.expired(time.Now())
}
