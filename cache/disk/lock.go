package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// How long another process is waited for that has the file: it may be about to end.
const (
	lockWait = time.Second
	lockTry  = 50 * time.Millisecond
)

// errLocked: another process has the file.
var errLocked = errors.New("another postwhere has this file")

// lockFile opens a file as flags say, so that no other process has it until it is
// closed; others may read a file that is opened to be read.
func lockFile(path string, flags int) (*os.File, error) {
	how := syscall.LOCK_EX
	if flags == os.O_RDONLY {
		how = syscall.LOCK_SH // all that NFS grants
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(lockTry) {
		// Not blocking: it may be a pipe.
		f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, 0o600)
		if err != nil {
			return nil, err
		}
		ours, err := f.Stat()
		switch {
		case err != nil:
		case !ours.Mode().IsRegular():
			err = fmt.Errorf("%s is no regular file", path)
		default:
			err = lock(f, how)
		}
		if err == nil {
			// Whoever had it may have put another in its place (Rewrite).
			there, gone := os.Stat(path)
			if gone == nil && os.SameFile(there, ours) {
				return f, nil
			}
			err = errLocked
		}
		_ = f.Close()
		if !errors.Is(err, errLocked) || time.Now().After(end) {
			return nil, err
		}
	}
}

// lock takes the lock of an open file, which ends when it is closed, also by the
// end of the process.
func lock(f *os.File, how int) error {
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errLocked
	}
	return err
}

// setAside gives a file that is not to be believed another name, by which somebody
// may want to look at it. The one that was set aside before is removed.
func setAside(path string, now time.Time) (to string, err error) {
	before, _ := filepath.Glob(globQuote(path) + ".bad-*")
	to = path + ".bad-" + now.UTC().Format("20060102T150405Z")
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	for _, old := range before {
		if old != to {
			_ = os.Remove(old)
		}
	}
	return to, nil
}

// globQuote returns a pattern that matches a path and nothing else.
func globQuote(path string) string {
	var quoted []byte
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, path[i])
	}
	return string(quoted)
}
