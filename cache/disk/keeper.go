package disk

import (
	"context"
	"errors"
	"log/slog"
	"sync"
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
	heard   func(notes map[string][]byte) (loaded func())

	loaded  chan struct{}   // closed when the file was read, or cannot be
	read    sync.Once       // closes it
	orders  chan chan error // to write at once
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
	peeked  header // of a file that was read when it could not be written
	anew    bool   // the file is to be written anew
	records int    // in the file
	failing bool
	rest    time.Time // until then nothing is tried
	noted   time.Time // when notes are to be asked for again
}

// Start begins to keep a cache in a file, by a goroutine that Close ends. What the
// file knows is put into the cache, as far as that knows nothing newer, also if it cannot
// be written. A file that cannot be had is said to the log, and tried again: Start never
// fails.
//
// Read, if set, is called by that goroutine with the notes of the file, before the cache
// has any owner of it; and with none if the file cannot be read, when that is first known.
// What it returns is called when the cache has all that there is.
func Start(path string, c *cache.Cache, log *slog.Logger, read func(notes map[string][]byte) (loaded func())) *Keeper {
	k := newKeeper(path, c, log)
	if read != nil {
		k.heard = read
	}
	go k.run()
	return k
}

func newKeeper(path string, c *cache.Cache, log *slog.Logger) *Keeper {
	owners, _ := c.Len()
	return &Keeper{
		path: path, cache: c, changes: c.Watch(), log: log.With("file", path),
		heard:  func(map[string][]byte) func() { return func() {} },
		loaded: make(chan struct{}), orders: make(chan chan error), closing: make(chan struct{}), ended: make(chan struct{}),
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
// in the file: every few seconds, at Sync and at Close. That an owner is no more is
// written together with them.
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

// Sync has all that has changed written, and returns when it is on the disk, or why
// it is not. An error of ctx means that it comes later.
func (k *Keeper) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case k.orders <- done:
	case <-k.ended:
		return errors.New("the file is closed")
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
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
	_ = k.step(time.Now())
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if now := time.Now(); now.After(k.rest) {
				_ = k.step(now) // the log has it
			}
		case done := <-k.orders:
			k.noted = time.Time{}
			done <- k.step(time.Now())
		case <-k.closing:
			k.noted = time.Time{}
			_ = k.step(time.Now())
			return
		}
	}
}
