package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"postwhere/cmd/postwhere/config"
)

// listen binds a listener. A Unix socket that a dead process left behind is taken
// over; the new one gets its directory's group, so that a directory of group
// postfix is all that Postfix needs.
func listen(at config.Listener) (net.Listener, error) {
	if at.Network == "unix" {
		if err := removeDeadSocket(at.Address); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), at.Network, at.Address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is in use: does another postwhere run, or another program there? (%w)", at.Address, err)
	case err != nil && at.Network == "unix" && errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("there is no directory %s: make it, and let the daemon's user write there", filepath.Dir(at.Address))
	case err != nil:
		return nil, err
	}
	lengthenQueue(l)
	if at.Network != "unix" {
		return l, nil
	}
	if err := openToGroup(at.Address); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

// backlog is how many clients may wait to be accepted, as in our socket units; the
// kernel cuts it to net.core.somaxconn.
const backlog = 4096

// lengthenQueue makes room for clients that wait. Go takes 128 for the most where it
// cannot read what the kernel allows, and ProcSubset=pid of our unit hides that. Who
// finds the queue of a Unix socket full is refused at once.
func lengthenQueue(l net.Listener) {
	c, ok := l.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		// listen(2) again sets the queue alone. Without it there is a shorter one.
		_ = raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), backlog) })
	}
}

// openToGroup lets the group of the socket's directory in, and nobody else.
func openToGroup(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok {
		// Without the right to give it away the socket keeps our own group.
		_ = os.Chown(path, -1, int(of.Gid))
	}
	return os.Chmod(path, 0o660) //nolint:gosec // a socket, for Postfix's group
}

// removeDeadSocket removes a Unix socket at which nobody answers.
func removeDeadSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil // the directory may be what is missing: listen tells
	case err != nil:
		return err
	case info.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s is there and is no socket: remove it or name another path", path)
	}
	dialer := net.Dialer{Timeout: time.Second}
	c, err := dialer.DialContext(context.Background(), "unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("%s is in use: another postwhere answers there", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		err = os.Remove(path)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil // whose it was has just left
	}
	return err
}
