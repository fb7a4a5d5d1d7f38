package probe

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
)

// silence is how a host that hangs is known from one of which a connection was lost: a
// question had no reply in time, and since it was put none of the connections at rest
// has said anything. Each would cost its asker as long a wait. The zero value is a host
// that has always replied; it may be used concurrently.
type silence struct{ put atomic.Pointer[time.Time] }

// errSuspect: a connection is left, for it is as likely to be dead as another was.
var errSuspect = fmt.Errorf("it has said nothing since another connection fell silent: %w", os.ErrDeadlineExceeded)

// note notes that a question which was put then has had no reply in time.
func (s *silence) note(put time.Time) { s.put.Store(&put) }

// suspects tells whether a connection on which something was last heard then may hang.
func (s *silence) suspects(heard time.Time) bool {
	put := s.put.Load()
	return put != nil && !heard.After(*put)
}
