package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"postwhere/cache"
)

// How often things are done. No look-up waits for any of them.
const (
	writeEvery = time.Second
	// retryEvery is how long a disk that is full, or a file that another has, is
	// left alone.
	retryEvery = 10 * time.Second
	// noteEvery is how often notes are asked for, if they are small; notePace is how
	// many octets of them are written a second at most.
	noteEvery = 5 * time.Second
	notePace  = 100 << 10
	// closeWait is how long Close waits for a disk that hangs.
	closeWait = 5 * time.Second
	// spareRecords is how many records a file may have beside one and a half for each
	// owner, before it is written anew.
	spareRecords = 50_000
)

// Keeper keeps a cache's owners in a file while the program runs. Its methods may
// be called concurrently.
type Keeper struct {
	path    string
	cache   *cache.Cache
	changes *cache.Changes
	log     *slog.Logger

	loaded  chan struct{} // closed when the file was read, or cannot be
	read    sync.Once     // closes it
	closing chan struct{}
	closed  sync.Once
	ended   chan struct{}

	mu    sync.Mutex
	notes map[string][]byte // as they are in the file, or are to be
	take  func() map[string][]byte
	size  int64
	state error // why nothing is kept, nil: it is

	// These are the goroutine's.
	file    *File
	anew    bool // the file is to be written anew
	records int  // in the file
	failing bool
	rest    time.Time // until then nothing is tried
	noted   time.Time // when notes are to be asked for again
}

// Start begins to keep a cache in a file, by a goroutine that Close ends. What the
// file knows is put into the cache, as far as that knows nothing newer. A file that
// cannot be had is said to the log, and tried again: Start never fails.
func Start(path string, c *cache.Cache, log *slog.Logger) *Keeper {
	k := newKeeper(path, c, log)
	go k.run()
	return k
}

func newKeeper(path string, c *cache.Cache, log *slog.Logger) *Keeper {
	owners, _ := c.Len()
	return &Keeper{
		path: path, cache: c, changes: c.Watch(), log: log.With("file", path),
		loaded: make(chan struct{}), closing: make(chan struct{}), ended: make(chan struct{}),
		anew: owners > 0,
	}
}

// Path returns the path that Start was given.
func (k *Keeper) Path() string { return k.path }

// Wait waits until the cache has what the file knew, or the file cannot be had, but
// no longer than that: then the rest comes behind.
func (k *Keeper) Wait(most time.Duration) {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-k.loaded:
	case <-timer.C:
	}
}

// Notes returns the notes that were in the file; none, if it was not read yet. They
// must not be changed.
func (k *Keeper) Notes() map[string][]byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.notes
}

// TakeNotes has the keeper ask for the notes that are to be kept in place of those
// in the file, every few seconds and at Close.
func (k *Keeper) TakeNotes(take func() map[string][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.take = take
}

// State returns how many octets the file has, and why nothing is kept in it, nil if
// it is.
func (k *Keeper) State() (size int64, why error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.size, k.state
}

// Close writes what is to be written, and ends the keeping. It does not wait long
// for a disk that hangs.
func (k *Keeper) Close() {
	k.closed.Do(func() {
		k.cache.Unwatch(k.changes)
		close(k.closing)
	})
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-k.ended:
	case <-timer.C:
		k.log.Warn("the disk does not answer: the last owners are not kept")
	}
}

func (k *Keeper) run() {
	defer close(k.ended)
	defer func() {
		if k.file != nil {
			_ = k.file.Close()
		}
	}()
	k.step(time.Now())
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if now := time.Now(); now.After(k.rest) {
				k.step(now)
			}
		case <-k.closing:
			k.noted = time.Time{}
			k.step(time.Now())
			return
		}
	}
}

// step does what there is to do, and tells the log once if it cannot be done.
func (k *Keeper) step(now time.Time) {
	done := func() { close(k.loaded) }
	defer k.read.Do(done)
	err := k.have()
	if err == nil {
		k.read.Do(done) // nobody waits for what is written
		err = k.write(now)
	}
	k.mu.Lock()
	k.state = err
	if k.file != nil {
		k.size = k.file.Size()
	}
	k.mu.Unlock()
	switch {
	case err != nil:
		k.rest = now.Add(retryEvery)
		if !k.failing {
			k.log.Warn("memory is not kept over a restart: "+remedy(err), "why", err.Error())
		}
	case k.failing:
		k.log.Info("memory is kept over a restart again")
	}
	k.failing = err != nil
}

// remedy says what to do.
func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory, and let the daemon's user write there, or set file in [cache]"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "let the daemon's user write there, or set file in [cache]"
	case errors.Is(err, errLocked):
		return "let each daemon have a file of its own in [cache]"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk"
	}
	return "it is tried again"
}

// have has the file open, and the cache know what was in it.
func (k *Keeper) have() error {
	if k.file != nil && !k.file.IsThere() {
		_ = k.file.Close()
		k.file, k.anew = nil, true
	}
	if k.file != nil {
		return nil
	}
	f, err := Open(k.path)
	if err != nil {
		return err
	}
	k.file = f
	if f.Aside != nil {
		k.log.Warn("the file with the memory cannot be used, memory begins empty", "why", f.Aside.Error())
	}
	k.mu.Lock()
	if k.notes == nil {
		k.notes = f.Notes
	}
	k.mu.Unlock()
	return k.load()
}

// load puts what the file knows into the cache.
func (k *Keeper) load() error {
	start, lost := time.Now(), false
	k.records = 0
	err := k.file.Read(func(c Change) {
		k.records++
		if c.Gone {
			k.cache.Withdraw(c.Name, c.At)
		} else if k.cache.Restore(c.Entry) {
			lost = true
		}
	})
	k.anew = k.anew || lost
	if err != nil {
		// It was whole a moment ago. What came from it was right.
		k.anew = true
		k.log.Warn("the file with the memory cannot be read to its end", "why", err.Error())
	}
	if k.records > 0 {
		owners, _ := k.cache.Len()
		k.log.Info("memory is as it was", "owners", owners, "records", k.records, "took", time.Since(start).Round(time.Millisecond).String())
	}
	return nil
}

// write writes what has changed, or all of it.
func (k *Keeper) write(now time.Time) error {
	notes, changed := k.newNotes(now)
	names, lost := k.changes.Take()
	owners, _ := k.cache.Len()
	whole := lost || k.anew || k.file.Broken() || k.records+len(names) > owners+owners/2+spareRecords
	var w *Writer
	var err error
	if whole {
		err = k.file.Rewrite(func(to *Writer) {
			w = to
			for name, note := range notes {
				w.Note(name, note)
			}
			for e := range k.cache.Owners() {
				w.Owned(e)
			}
		})
	} else {
		err = k.file.Append(func(to *Writer) {
			w = to
			for name, note := range changed {
				w.Note(name, note)
			}
			for n := range names {
				if e, ok := k.cache.Look(n); ok {
					w.Owned(e)
				} else {
					w.Gone(n, now)
				}
			}
		})
	}
	if err != nil {
		k.changes.GiveBack(names, lost)
		return err
	}
	if whole {
		k.records, k.anew = 0, false
	}
	k.records += w.Records
	k.mu.Lock()
	k.notes = notes
	k.mu.Unlock()
	return nil
}

// newNotes returns the notes as they are to be, and those that have changed: an
// empty one is to be forgotten.
func (k *Keeper) newNotes(now time.Time) (notes, changed map[string][]byte) {
	k.mu.Lock()
	notes, take := k.notes, k.take
	k.mu.Unlock()
	if take == nil || now.Before(k.noted) {
		return notes, nil
	}
	before, size := notes, 0
	notes, changed = take(), make(map[string][]byte)
	for name, note := range notes {
		if size += len(note); !bytes.Equal(before[name], note) {
			changed[name] = note
		}
	}
	for name := range before {
		if _, ok := notes[name]; !ok {
			changed[name] = nil
		}
	}
	k.noted = now.Add(noteEvery + time.Duration(size/notePace)*time.Second)
	return notes, changed
}
