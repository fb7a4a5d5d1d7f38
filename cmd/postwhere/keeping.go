package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"postwhere/cache/disk"
	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
	"postwhere/probe"
)

// memoryWait is how long a start waits for the memory of the last run: a million
// owners are there by then, and what is beyond them comes behind.
const memoryWait = time.Second

// What is kept beside the owners, as notes.
const (
	noteDoubts = "doubts"
	noteHost   = "host " // and its name
)

// hostNote is what was learnt of a host, and of which: one of the same name that
// is asked in another way now is another host.
type hostNote struct {
	Settings string
	Known    probe.Knowledge
}

// past is what a world has from the one before it. The zero value is nothing.
type past struct {
	notes  map[string][]byte
	doubts *policy.Doubts
}

// remember begins to keep memory in the file that cfg names, and returns what the
// last run knew.
func (d *daemon) remember(cfg *config.Config) past {
	if cfg.Cache.File == "" {
		return past{}
	}
	k := disk.Start(cfg.Cache.File, d.memory, d.log, nil)
	d.setKeeper(k)
	k.Wait(memoryWait)
	p := past{notes: k.Notes()}
	if note, ok := p.notes[noteDoubts]; ok {
		var all map[string]time.Time
		_ = json.Unmarshal(note, &all) // what cannot be read is not known
		p.doubts = policy.RestoreDoubts(all)
	}
	return p
}

// distrust has the owners of hosts asked again that are configured otherwise than
// they were when they were learnt: in the world before this one, or in the last run.
func (d *daemon) distrust(old, now *world) {
	before := make(map[string]string)
	for name, text := range now.past.notes {
		var note hostNote
		if host, is := strings.CutPrefix(name, noteHost); is && json.Unmarshal(text, &note) == nil {
			before[host] = note.Settings
		}
	}
	if old != nil {
		old.mu.Lock()
		maps.Copy(before, old.settings)
		old.mu.Unlock()
	}
	for name, settings := range before {
		if h, err := now.cfg.HostOf(name); err == nil && now.settingsOf(h) != settings {
			d.log.Info("host is configured otherwise: its owners are asked again", "host", name)
			d.memory.Distrust(name, time.Now())
		}
	}
}

// forgo ends the keeping, and writes what is to be kept.
func (d *daemon) forgo() {
	if d.keeper != nil {
		d.keeper.Close()
		d.setKeeper(nil)
	}
}

func (d *daemon) setKeeper(k *disk.Keeper) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keeper = k
}

// adjustMemory makes memory what cfg says, without loss as far as there is room.
func (d *daemon) adjustMemory(cfg *config.Config) {
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
func (d *daemon) notes() map[string][]byte {
	d.mu.RLock()
	w := d.world
	d.mu.RUnlock()
	all := w.notes()
	if link := d.tiers.link.Load(); link != nil {
		if note, err := json.Marshal(link.Position()); err == nil {
			all[noteShared] = note
		}
	}
	return all
}

// notes returns what the world has learnt beside the owners.
func (w *world) notes() map[string][]byte {
	w.mu.Lock()
	hosts, settings := slices.Collect(maps.Values(w.hosts)), maps.Clone(w.settings)
	w.mu.Unlock()
	all := make(map[string][]byte)
	keep := func(name string, v any) {
		if note, err := json.Marshal(v); err == nil {
			all[name] = note
		}
	}
	if doubts := w.searcher.Doubts().All(); len(doubts) > 0 {
		keep(noteDoubts, doubts)
	}
	for _, h := range hosts {
		keep(noteHost+h.Name, hostNote{settings[h.Name], proberOf(h).Knowledge()})
	}
	return all
}

// settingsOf returns what decides who answers and how, in a few letters.
func (w *world) settingsOf(h config.Host) string {
	h.Route, h.Mailer, h.AliasDomain, h.Connections, h.Rate, h.LastResort = "", "", "", 0, 0, false
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %q %q", h, w.cfg.Probe.Sender, w.cfg.Probe.HeloName))
	return hex.EncodeToString(sum[:8])
}

// knowledgeOf returns what was learnt of a host before.
func (w *world) knowledgeOf(name string, h config.Host) probe.Knowledge {
	var note hostNote
	if err := json.Unmarshal(w.past.notes[noteHost+name], &note); err != nil || note.Settings != w.settingsOf(h) {
		return probe.Knowledge{}
	}
	return note.Known
}
