package daemon

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"time"

	"postwhere/cache/disk"
	"postwhere/cache/shared"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/world"
)

// memoryWait is how long a start waits for the memory of the last run: a million
// owners are there by then, and what is beyond them comes behind.
const memoryWait = time.Second

// What is kept beside the owners, as notes.
const (
	noteDoubts     = "doubts"
	noteDistrusted = "distrusted" // hosts, and since when
	noteHost       = "host "      // and its name: a HostNote
)

// kept is what is known of the time before, of this run and the last one. A file may tell
// of it late, from its own goroutine. The zero value is nothing.
type kept struct {
	mu sync.Mutex
	// settings are those of the hosts when their owners were learnt, also of hosts that
	// no domain has any more: their owners may be remembered yet.
	settings map[string]string
	// now returns those of the world of the day; nil: there is none yet.
	now func(host string) (settings string, ok bool)
	// shared is what a link that is yet to start has to know, and before the last one that
	// has; nil: there was none.
	shared shared.Past
	before *shared.Link
}

// remember begins to keep memory in the file that cfg names, and returns what the
// last run knew. Who is in doubt, and who was known, is known when the file is read: until
// then, all are in doubt.
func (d *Daemon) remember(cfg *config.Config) (notes map[string][]byte) {
	if cfg.Cache.File == "" {
		return nil
	}
	begun := d.doubts.Await()
	k := disk.Start(cfg.Cache.File, d.memory, d.log, func(notes map[string][]byte) (loaded func()) {
		defer begun()
		return d.recollect(notes)
	})
	d.setKeeper(k)
	k.Wait(memoryWait)
	return k.Notes()
}

// recollect has the daemon know what a file does beside the owners, before memory has
// those. When it has, loaded is to be called: until then one of them could be refused as
// somebody who was never known.
func (d *Daemon) recollect(notes map[string][]byte) (loaded func()) {
	isDone := d.doubts.Await()
	read := func(name string, v any) { _ = json.Unmarshal(notes[name], v) } // what cannot be read is not known
	var doubts, distrusted map[string]time.Time
	var from shared.Past
	read(noteDoubts, &doubts)
	read(noteDistrusted, &distrusted)
	read(noteShared, &from)
	d.doubts.Restore(doubts)
	for host, since := range distrusted {
		d.memory.Distrust(host, since)
	}
	d.kept.mu.Lock()
	defer d.kept.mu.Unlock()
	for host, note := range notesOfHosts(notes) {
		d.compare(host, note.Settings)
	}
	if d.kept.before == nil {
		d.kept.shared = d.kept.shared.And(from)
	} else {
		d.kept.before.Recollect(from)
	}
	return func() {
		d.kept.mu.Lock()
		defer d.kept.mu.Unlock()
		// Once more: whom other front ends' hosts have denied may have been read before memory had him.
		d.kept.before.Recollect(shared.Past{Position: from.Position})
		isDone()
	}
}

// notesOfHosts returns what was learnt of each host. One that cannot be read is another
// host.
func notesOfHosts(notes map[string][]byte) map[string]world.HostNote {
	all := make(map[string]world.HostNote)
	for name, text := range notes {
		if host, is := strings.CutPrefix(name, noteHost); is {
			var note world.HostNote
			_ = json.Unmarshal(text, &note)
			all[host] = note
		}
	}
	return all
}

// compare has the owners of a host asked again if it was configured otherwise when they
// were learnt than it is. kept.mu is locked.
func (d *Daemon) compare(host, settings string) {
	is, ok := d.kept.settings[host]
	if d.kept.now != nil {
		if now, known := d.kept.now(host); known {
			is, ok = now, true
		}
	}
	if ok && is != settings {
		d.log.Info("host is configured otherwise: its owners are asked again", "host", host)
		d.memory.Distrust(host, time.Now())
		settings = is
	}
	if d.kept.settings == nil {
		d.kept.settings = make(map[string]string)
	}
	d.kept.settings[host] = settings
}

// distrust has the owners of hosts asked again that are configured otherwise than
// they were when they were learnt: in a world before this one, or in the last run.
func (d *Daemon) distrust(old, now *world.World) {
	before := make(map[string]string)
	if old != nil {
		before = old.Settings()
	}
	d.kept.mu.Lock()
	defer d.kept.mu.Unlock()
	for host, settings := range d.kept.settings {
		if before[host] == "" {
			before[host] = settings
		}
	}
	d.kept.now = now.SettingsOfName
	for host, settings := range before {
		d.compare(host, settings)
	}
}

// forgo ends the keeping, and writes what is to be kept.
func (d *Daemon) forgo() {
	if d.keeper != nil {
		d.keeper.Close()
		d.setKeeper(nil)
	}
}

func (d *Daemon) setKeeper(k *disk.Keeper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keeper = k
}

// adjustMemory makes memory what cfg says, without loss as far as there is room.
func (d *Daemon) adjustMemory(cfg *config.Config) {
	before, opt := d.bound, cfg.MemoryOptions()
	d.bound = cfg
	if !reflect.DeepEqual(before.MemoryOptions(), opt) {
		if err := d.memory.Adjust(opt); err != nil {
			d.log.Error("[cache] cannot be changed", "why", err.Error())
		}
	}
	if before.Cache.File != cfg.Cache.File {
		d.forgo()
		d.remember(cfg)
	}
}

// notes returns what is to be kept beside the owners.
func (d *Daemon) notes() map[string][]byte {
	d.mu.RLock()
	w := d.world
	d.mu.RUnlock()
	hosts := w.HostNotes()
	all := make(map[string][]byte)
	keep := func(name string, v any) {
		if note, err := json.Marshal(v); err == nil {
			all[name] = note
		}
	}
	if doubts := d.doubts.All(); len(doubts) > 0 {
		keep(noteDoubts, doubts)
	}
	if distrusted := d.memory.Distrusted(); len(distrusted) > 0 {
		keep(noteDistrusted, distrusted)
	}
	d.kept.mu.Lock()
	defer d.kept.mu.Unlock()
	for host, text := range d.kept.settings {
		keep(noteHost+host, world.HostNote{Settings: text})
	}
	for host, note := range hosts {
		keep(noteHost+host, note)
	}
	if d.kept.before != nil {
		d.kept.shared = d.kept.before.Past()
	}
	if from := d.kept.shared; from.Position != (shared.Position{}) || len(from.Untold) > 0 {
		keep(noteShared, from)
	}
	return all
}
