package probe

import (
	"errors"
	"slices"
	"time"

	"postwhere/policy"
)

// waiting returns how long the line is.
func (c *crowd) waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.line)
}

// isAmong tells whether a refusal of one would be taken for that of another.
func isAmong(taken []*pending, one *pending) bool {
	return slices.ContainsFunc(taken, func(other *pending) bool { return other.address.Key() == one.address.Key() })
}

// first returns the address that has waited longest.
func (c *crowd) first() (policy.Address, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.line) == 0 {
		return policy.Address{}, false
	}
	return c.line[0].address, true
}

// leave takes a question out of the line, or out of the pipe that was to carry it. One
// that was written already stays there, for its reply comes.
func (c *crowd) leave(one *pending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line = slices.DeleteFunc(c.line, func(other *pending) bool { return other == one })
	for _, q := range c.open {
		q.drop(one)
	}
}

// errOneByOne: the host is not asked in pipes now.
var errOneByOne = errors.New("the host is asked one by one")

func everyone(*pending) bool { return true }

// sendAway has the domain's questions put one by one; with "" all of them.
func (c *crowd) sendAway(domain string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rest(domain)
	c.disperse(errOneByOne, func(one *pending) bool { return domain == "" || one.address.Domain() == domain })
}

// disperse takes questions out of the line, to be put in another way. The lock is
// held.
func (c *crowd) disperse(why error, which func(*pending) bool) {
	c.line = slices.DeleteFunc(c.line, func(one *pending) bool {
		if which(one) {
			one.reply <- pipeReply{err: why}
			return true
		}
		return false
	})
}

// rest keeps questions about a domain, or with "" all of them, out of the line for
// a while. The lock is held.
func (c *crowd) rest(domain string) {
	if c.rests == nil || len(c.rests) >= maxCalibrations {
		c.rests = make(map[string]time.Time)
	}
	c.rests[domain] = time.Now().Add(pipeRest)
}

// resting tells whether questions about the domain are put one by one.
func (c *crowd) resting(domain string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Before(c.rests[""]) || now.Before(c.rests[domain])
}

// close ends the line: who is in it, or comes, is asked for one by one.
func (c *crowd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.disperse(errOneByOne, everyone)
}
