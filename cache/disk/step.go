package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"syscall"
	"time"

	"postwhere/cache"
)

// step does what there is to do, and tells the log once if it cannot be done.
func (k *Keeper) step(now time.Time) error {
	done := func() { close(k.loaded) }
	defer k.read.Do(done)
	err := k.have()
	if err != nil && !k.failing && k.notes == nil {
		k.heard(nil)()
	}
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
	return err
}

// remedy says what to do.
func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "make the directory, and let the daemon's user write there, or set file in [cache]"
	case isReadOnly(err):
		return "let the daemon's user write there, and remove a file that is another's, or set file in [cache]"
	case errors.Is(err, errLocked):
		return "let each daemon have a file of its own in [cache]"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk"
	}
	return "it is tried again"
}

// isReadOnly tells whether what cannot be written for that reason may be readable.
func isReadOnly(err error) bool {
	return errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS)
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
	if isReadOnly(err) && k.notes == nil {
		k.peek()
	}
	if err != nil {
		return err
	}
	k.file = f
	if f.Aside != nil {
		k.log.Warn("the file with the memory cannot be used, memory begins empty", "why", f.Aside.Error())
	}
	if f.head != k.peeked { // else nobody has written it since
		k.learn(f)
	}
	return nil
}

// peek has the cache know what is in a file that cannot be written. Once it can, it is
// written anew: notes that have changed are told from those that were in it here, and
// others may have written it since.
func (k *Keeper) peek() {
	f, err := OpenToRead(k.path)
	switch {
	case err == nil:
		defer f.Close()
		k.peeked, k.anew = f.head, true
		k.learn(f)
	case k.failing, errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission), errors.Is(err, errEmpty):
	default:
		k.log.Warn("the file with the memory cannot be used, memory begins empty", "why", err.Error())
	}
}

// learn has the cache, and who is to hear of the notes, know what is in a file.
func (k *Keeper) learn(f *File) {
	k.mu.Lock()
	if k.notes == nil {
		k.notes = f.Notes
	}
	k.mu.Unlock()
	defer k.heard(f.Notes)()
	k.load(f)
}

// load puts what the file knows into the cache.
func (k *Keeper) load(f *File) {
	start, lost := time.Now(), false
	k.records = 0
	err := f.Read(func(c Change) {
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
}

// write writes what has changed, or all of it.
func (k *Keeper) write(now time.Time) error {
	names, lost := k.changes.Take()
	owners, _ := k.cache.Len()
	// Records behind one another are told apart by their times, which a clock that was
	// set back mixes up: a snapshot has each owner once.
	whole := lost || k.anew || k.file.Broken() || now.Before(k.file.head.at) || k.records+len(names) > owners+owners/2+spareRecords
	var w *Writer
	var notes map[string][]byte
	var err error
	if whole {
		err = k.file.Rewrite(func(to *Writer) {
			w = to
			for e := range k.cache.Owners() {
				w.Owned(e)
			}
			k.noted = time.Time{}
			notes, _, _ = k.newNotes(now) // after that: who was not among them may be in doubt
			for name, note := range notes {
				w.Note(name, note)
			}
		})
	} else {
		err = k.file.Append(func(to *Writer) {
			w = to
			notes = k.append(w, names, now)
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

// append writes notes and owners that have changed, and returns the notes. That somebody
// is an owner no more waits for the notes, where that he is in doubt may be: to lose that
// he is gone costs a question, and to lose the doubt could have him refused.
func (k *Keeper) append(w *Writer, names map[cache.Name]struct{}, now time.Time) map[string][]byte {
	var owned []cache.Entry
	var gone []cache.Name
	for n := range names {
		if e, ok := k.cache.Look(n); ok {
			owned = append(owned, e)
		} else {
			gone = append(gone, n)
		}
	}
	notes, changed, current := k.newNotes(now)
	for name, note := range changed {
		w.Note(name, note)
	}
	for _, e := range owned {
		w.Owned(e)
	}
	if !current {
		held := make(map[cache.Name]struct{})
		for _, n := range gone {
			held[n] = struct{}{}
		}
		k.changes.GiveBack(held, false)
		return notes
	}
	for _, n := range gone {
		w.Gone(n, now)
	}
	return notes
}

// newNotes returns the notes as they are to be, and those that have changed: an
// empty one is to be forgotten. It tells whether they are current, and not those in the
// file since it is too early to ask for others.
func (k *Keeper) newNotes(now time.Time) (notes, changed map[string][]byte, current bool) {
	k.mu.Lock()
	notes, take := k.notes, k.take
	k.mu.Unlock()
	if take == nil || now.Before(k.noted) {
		return notes, nil, take == nil
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
	return notes, changed, true
}
