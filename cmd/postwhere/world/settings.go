package world

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
	"postwhere/probe"
)

// HostNote is what was learnt of a host, and of which: one of the same name that
// is asked in another way now is another host. It travels as JSON.
type HostNote struct {
	Settings string // see World.Settings
	Known    probe.Knowledge
}

// Past is what a world has from those before it. The zero value is nothing.
type Past struct {
	Hosts   map[string]HostNote // of the last run, or of the world before
	Doubts  *policy.Doubts      // of all worlds; nil: the world has its own
	Drained *DrainedHosts       // of the daemon; nil: there is none
}

// settingsOf returns what decides who answers and how, in a few letters.
func (w *World) settingsOf(h config.Host) string {
	h.Route, h.Mailer, h.AliasDomain, h.Connections, h.Rate, h.LastResort = "", "", "", 0, 0, false
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %q %q", h, w.Config.Probe.Sender, w.Config.Probe.HeloName))
	return hex.EncodeToString(sum[:8])
}

// SettingsOfName returns what Settings would have of a host of that name; ok is false
// if such a host cannot be had.
func (w *World) SettingsOfName(name string) (settings string, ok bool) {
	h, err := w.Config.HostOf(name)
	return w.settingsOf(h), err == nil
}

// Settings returns what decides who answers and how, in a few letters, for each host,
// also those that no domain has any more.
func (w *World) Settings() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.settings)
}

// HostNotes returns what was learnt of each host; of those that no domain has any more,
// only which they were.
func (w *World) HostNotes() map[string]HostNote {
	w.mu.Lock()
	hosts, settings := slices.Collect(maps.Values(w.hosts)), maps.Clone(w.settings)
	w.mu.Unlock()
	notes := make(map[string]HostNote)
	for host, text := range settings {
		notes[host] = HostNote{Settings: text}
	}
	for _, h := range hosts {
		notes[h.Name] = HostNote{settings[h.Name], ProberOf(h).Knowledge()}
	}
	return notes
}

// knowledgeOf returns what was learnt of a host before.
func (w *World) knowledgeOf(name string, h config.Host) probe.Knowledge {
	note := w.past.Hosts[name]
	if note.Settings != w.settingsOf(h) {
		return note.Known.OfAnother()
	}
	return note.Known
}

// EndpointOf returns where a host is asked and what counts as its yes, in a few letters:
// what two front ends have to agree on whose hosts are the same.
func (w *World) EndpointOf(name string) string {
	if known, ok := w.endpoints.Load(name); ok {
		return known.(string)
	}
	h, err := w.Config.HostOf(name)
	if err != nil {
		return ""
	}
	at, err := probe.ParseEndpoint(h.Probe)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %v %v", at, h.Method, h.VRFY252))
	text := hex.EncodeToString(sum[:8])
	if w.Config.Host[name] != nil { // others are as many as other front ends can think of
		w.endpoints.Store(name, text)
	}
	return text
}
