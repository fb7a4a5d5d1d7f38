// Package disk keeps a cache's owners in a file, so that they are known after a
// restart, and with them notes: small values that others want to have kept.
//
// The file is a snapshot and, behind it, the changes since. The cache holds in
// memory all that the file does, and nobody looks anything up in the file: it is
// read from end to end at the start, and written otherwise. A database's index
// would be for nobody. Bbolt was measured beside it, with a million owners: 280
// changes (as many as a second brings if each owner is asked again once an hour)
// make it write 2,000 KB, since each falls on a page of its own, and this file 16
// KB; it takes 166 MB, and this file 56 MB. And bbolt maps its file into memory and
// knows no checksum of a page: a file that is cut short, or has a page that leads
// in circles, ends or hangs the program that reads it.
//
// The snapshot replaces the file at once and whole (renameio). What is behind it is
// frames, each with its checksum and a number, and the header says up to where they
// were on the disk when it was last written (header). So a file that lost its end
// is known from one whose last second never came to the disk, and a file is
// believed as a whole or not at all: half of one could know the owner of a mailbox
// that has moved since.
package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/google/renameio/v2"
)

// File is an open file, which no other process has. It is used by one goroutine.
type File struct {
	path string // without symbolic links
	f    *os.File
	head header
	last uint64 // number of the last frame
	// broken: what was written may not be there: only Rewrite helps.
	broken bool

	// Aside is why the file that was there is set aside, nil if it was not.
	Aside error
	// Notes are those that were in the file.
	Notes map[string][]byte
}

// Open opens the file, or makes it. A file that is not to be believed is set aside,
// for which see File.Aside, and a new one is made.
func Open(path string) (*File, error) {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	fd, err := lockFile(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, f: fd, Notes: make(map[string][]byte)}
	removeLitter(path)
	if err = f.check(); err == nil {
		// Else what the next Append writes might end where something whole begins.
		err = f.f.Truncate(f.head.end)
	}
	switch {
	case err == nil:
		return f, nil
	case errors.As(err, new(badFile)), errors.Is(err, syscall.EIO):
		to, failed := setAside(path, time.Now())
		if failed != nil {
			_ = fd.Close()
			return nil, fmt.Errorf("%w, and cannot be set aside: %w", err, failed)
		}
		f.Aside = fmt.Errorf("%w: it is set aside as %s", err, to)
		clear(f.Notes)
	case !errors.Is(err, errEmpty):
		_ = fd.Close()
		return nil, err
	}
	if err := f.Rewrite(func(*Writer) {}); err != nil {
		_ = f.Close()
		return nil, errors.Join(f.Aside, err)
	}
	return f, nil
}

// OpenToRead opens a file that is there and need not be writable, for Read, Notes and
// Close. Nothing is changed: a file that is not to be believed stays, and is an error.
func OpenToRead(path string) (*File, error) {
	fd, err := lockFile(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	f := &File{path: path, f: fd, Notes: make(map[string][]byte)}
	if err := f.check(); err != nil {
		_ = fd.Close()
		return nil, err
	}
	return f, nil
}

// check reads the whole file, and finds what has come to it since the header was
// written.
func (f *File) check() error {
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if f.head, err = readHeader(f.f, info.Size()); err != nil {
		return err
	}
	end, err := f.frames(info.Size(), func(payload []byte) error {
		name, note, is, err := readNote(payload)
		switch {
		case err != nil || !is:
			return err
		case len(note) == 0:
			delete(f.Notes, name)
		default:
			f.Notes[name] = note
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.head.end = end
	return nil
}

// frames visits the payloads of all frames, and returns where they end. Behind
// what the header vouches for they end at the first that is not whole.
func (f *File) frames(size int64, visit func(payload []byte) error) (end int64, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f.f, headerSize, size-headerSize), 1<<20)
	f.last = 0
	var room []byte
	for end = headerSize; end < size; {
		payload, number, err := readFrame(in, room, size-end)
		switch {
		case err == nil && number > f.last:
		case end >= f.head.end:
			return end, nil
		case err == nil || errors.Is(err, errNoFrame):
			return end, badFile(fmt.Sprintf("is damaged at octet %d", end))
		default:
			return end, err
		}
		if err := visit(payload); err != nil {
			return end, err
		}
		f.last, room = number, payload[:0]
		end += frameHead + int64(len(payload))
	}
	return end, nil
}

// Read visits all changes of owners in the file, in order.
func (f *File) Read(visit func(Change)) error {
	d := newDecoder()
	end, err := f.frames(f.head.end, func(payload []byte) error { return d.owners(payload, f.head.at, visit) })
	if err == nil && end != f.head.end {
		err = badFile("has changed while it was read")
	}
	return err
}

// Append writes what write does behind what the file has. It is on the disk when
// Append returns nil; after an error none of it is in the file, unless the file
// was closed or is Broken.
func (f *File) Append(write func(*Writer)) error {
	w := &Writer{number: f.last}
	write(w)
	w.flush()
	f.last = w.number // also after an error: no number is given twice
	if len(w.out) == 0 {
		return nil
	}
	if _, err := f.f.WriteAt(w.out, f.head.end); err != nil {
		// A disk that was full takes the next try at the same place.
		f.broken = f.f.Truncate(f.head.end) != nil
		return err
	}
	if err := f.f.Sync(); err != nil {
		f.broken = true // the kernel may say so once, and forget what it could not write
		return err
	}
	f.head = f.head.next(f.head.end+int64(len(w.out)), time.Now())
	if err := f.head.write(f.f); err != nil {
		f.broken = true
		return err
	}
	return nil
}

// Rewrite puts a new file in the place of this one, with what write does. After an
// error everything is as it was.
func (f *File) Rewrite(write func(*Writer)) error {
	next, err := renameio.NewPendingFile(f.path, renameio.WithTempDir(filepath.Dir(f.path)), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return err
	}
	defer next.Cleanup() //nolint:errcheck // what is left over is removed at the next start
	if os.Geteuid() == 0 {
		if err := f.handDown(next.File); err != nil {
			return err
		}
	}
	head := newHeader()
	if err := head.create(next.File); err != nil {
		return err
	}
	w := &Writer{to: next.File}
	write(w)
	w.flush()
	if w.err != nil {
		return w.err
	}
	head = head.next(headerSize+w.size, time.Now())
	if err := head.write(next.File); err != nil {
		return err
	}
	fd, err := os.OpenFile(next.Name(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := lock(fd, syscall.LOCK_EX); err != nil {
		_ = fd.Close()
		return err
	}
	if err := next.CloseAtomicallyReplace(); err != nil {
		_ = fd.Close()
		return err
	}
	syncDir(filepath.Dir(f.path))
	_ = f.f.Close()
	f.f, f.head, f.last, f.broken = fd, head, w.number, false
	return nil
}

// handDown gives the next file the owner of this one, or of its folder if that is root:
// who runs the daemon as root, once and by hand, must not lock out the service.
func (f *File) handDown(next *os.File) error {
	of, err := f.f.Stat()
	if err == nil && of.Sys().(*syscall.Stat_t).Uid == 0 {
		of, err = os.Stat(filepath.Dir(f.path))
	}
	if err != nil {
		return err
	}
	owner := of.Sys().(*syscall.Stat_t)
	return next.Chown(int(owner.Uid), int(owner.Gid))
}

// Broken tells whether Append can do nothing more: the file is to be written anew.
func (f *File) Broken() bool { return f.broken }

// IsThere tells whether the file still is what its path leads to.
func (f *File) IsThere() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	ours, err := f.f.Stat()
	return err == nil && os.SameFile(there, ours)
}

// Size returns the size of the file in octets.
func (f *File) Size() int64 { return f.head.end }

// Close lets others have the file.
func (f *File) Close() error { return f.f.Close() }

// syncDir has a new name come to the disk. What keeps no directories that can be
// synced keeps them in another way.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// removeLitter removes what a Rewrite left behind that was killed.
func removeLitter(path string) {
	dir, base := filepath.Split(path)
	ours := regexp.MustCompile(`^\.` + regexp.QuoteMeta(base) + `\d+$`)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if ours.MatchString(e.Name()) && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
