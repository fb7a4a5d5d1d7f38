package main

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

// hostNote is what was learnt of a host, and of which: one of the same name that
// is asked in another way now is another host.
type hostNote struct {
	Settings string
	Known    probe.Knowledge
}

// past is what a world has from those before it. The zero value is nothing.
type past struct {
	hosts   map[string]hostNote // of the last run
	doubts  *policy.Doubts      // of all worlds; nil: the world has its own
	drained *drainedHosts       // of the daemon; nil: there is none
}

// settingsOf returns what decides who answers and how, in a few letters.
func (w *world) settingsOf(h config.Host) string {
	h.Route, h.Mailer, h.AliasDomain, h.Connections, h.Rate, h.LastResort = "", "", "", 0, 0, false
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %q %q", h, w.cfg.Probe.Sender, w.cfg.Probe.HeloName))
	return hex.EncodeToString(sum[:8])
}

// settingsOfName returns those of the host of a name; ok is false if it has none that
// can be used.
func (w *world) settingsOfName(name string) (settings string, ok bool) {
	h, err := w.cfg.HostOf(name)
	return w.settingsOf(h), err == nil
}

// allSettings returns those of each host, also of hosts that no domain has any more.
func (w *world) allSettings() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.settings)
}

// hostNotes returns what was learnt of each host; of those that no domain has any more,
// only which they were.
func (w *world) hostNotes() map[string]hostNote {
	w.mu.Lock()
	hosts, settings := slices.Collect(maps.Values(w.hosts)), maps.Clone(w.settings)
	w.mu.Unlock()
	notes := make(map[string]hostNote)
	for host, text := range settings {
		notes[host] = hostNote{Settings: text}
	}
	for _, h := range hosts {
		notes[h.Name] = hostNote{settings[h.Name], proberOf(h).Knowledge()}
	}
	return notes
}

// knowledgeOf returns what was learnt of a host before.
func (w *world) knowledgeOf(name string, h config.Host) probe.Knowledge {
	note := w.past.hosts[name]
	if note.Settings != w.settingsOf(h) {
		return probe.Knowledge{}
	}
	return note.Known
}

// endpointOf is the daemon's.
func (w *world) endpointOf(name string) string {
	if known, ok := w.endpoints.Load(name); ok {
		return known.(string)
	}
	h, err := w.cfg.HostOf(name)
	if err != nil {
		return ""
	}
	at, err := probe.ParseEndpoint(h.Probe)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%+v %v %v", at, h.Method, h.VRFY252))
	text := hex.EncodeToString(sum[:8])
	if w.cfg.Host[name] != nil { // others are as many as other front ends can think of
		w.endpoints.Store(name, text)
	}
	return text
}
