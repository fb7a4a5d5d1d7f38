package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"postwhere/cmd/postwhere/control"
)

// Reload has the configuration read again, as SIGHUP does, and returns why it was
// refused.
func (d *Daemon) Reload(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case d.reloads <- done:
		if err := <-done; err != nil {
			return errors.New(inALine(err))
		}
		return nil
	case <-d.ending:
		return control.ErrEnding
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Standing returns which configuration the daemon runs by.
func (d *Daemon) Standing() control.Standing {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.standing
}

// stand notes what has become of a configuration that was read at a time.
func (d *Daemon) stand(file string, read time.Time, refused error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if refused != nil {
		d.standing.Refused, d.standing.Why = read, inALine(refused)
		return
	}
	if absolute, err := filepath.Abs(file); err == nil {
		file = absolute // whoever asks is elsewhere
	}
	d.standing = control.Standing{File: file, Since: read}
}

// inALine returns the text of errors that may be many.
func inALine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
