package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// remembered is what is known of one address, as `postwhere cache dump` prints it:
// an object a line. The fields' names and order are fixed.
type remembered struct {
	Address string         `json:"address"` // an owner's in lower case: he has all spellings
	Owner   string         `json:"owner"`   // its host; "" of a stranger
	Answers []storedAnswer `json:"answers"`
}

type storedAnswer struct {
	Host   string  `json:"host"`
	Answer string  `json:"answer"`
	Reply  string  `json:"reply"`
	Method string  `json:"method"`
	Age    float64 `json:"age"` // seconds
}

// memoryStats is what memory has, and where it is kept.
type memoryStats struct {
	Owners       int    `json:"owners"`
	MaxOwners    int    `json:"max_owners"`
	Strangers    int    `json:"strangers"`
	MaxStrangers int    `json:"max_strangers"`
	File         string `json:"file"`  // "": nothing is kept over a restart
	Bytes        int64  `json:"bytes"` // of the file
	Why          string `json:"why"`   // nothing is kept in it now, "": it is

	Shared        string `json:"shared"`         // the server, "": nothing is shared
	SharedWaiting int    `json:"shared_waiting"` // changes that the other front ends are yet to be told of
	SharedWhy     string `json:"shared_why"`     // it is away, or takes nothing, "": all is well
}

// memoryHandler answers the command line about memory, and hands on the rest:
// GET /cache/dump returns remembered after remembered, GET /cache/stats a
// memoryStats, and POST /cache/flush a flushed; its query says what, as
// flush has it.
func memoryHandler(d *daemon, rest http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", rest)
	mux.HandleFunc("GET /cache/dump", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		d.dump(w)
	})
	mux.HandleFunc("GET /cache/stats", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, d.memoryStats()) })
	mux.HandleFunc("POST /cache/flush", func(w http.ResponseWriter, r *http.Request) {
		done, err := d.flush(r.Context(), r.URL.Query())
		if err != nil {
			http.Error(w, "cache flush: "+err.Error(), http.StatusBadRequest)
			return
		}
		answerJSON(w, done)
	})
	return mux
}

// dump writes all that is remembered, until the asker has gone.
func (d *daemon) dump(w http.ResponseWriter) {
	out := bufio.NewWriterSize(w, 1<<16)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	now := time.Now()
	write := func(n cache.Name, owner string, answers ...policy.Answer) bool {
		r := remembered{policy.AddressOf(n.Local, n.Domain).String(), owner, make([]storedAnswer, len(answers))}
		for i, a := range answers {
			reply := a.Reply.String()
			if reply == "" {
				reply = a.Why
			}
			r.Answers[i] = storedAnswer{a.Host, a.Says.String(), reply, a.Method, max(now.Sub(a.At), 0).Seconds()}
		}
		return lines.Encode(r) == nil
	}
	for e := range d.memory.Owners() {
		if !write(e.Name, e.Owner.Host, e.Owner) {
			return
		}
	}
	for st := range d.memory.Strangers() {
		if !write(st.Name, "", st.Answers...) {
			return
		}
	}
	_ = out.Flush()
}

// memoryStats returns how full memory is.
func (d *daemon) memoryStats() memoryStats {
	var s memoryStats
	s.Owners, s.Strangers = d.memory.Len()
	d.mu.RLock()
	cfg, keeper := d.world.cfg.Cache, d.keeper
	d.mu.RUnlock()
	s.MaxOwners, s.MaxStrangers, s.File = cfg.Owners, cfg.Strangers, cfg.File
	if keeper != nil {
		var why error
		if s.Bytes, why = keeper.State(); why != nil {
			s.Why = why.Error()
		}
	}
	if link := d.tiers.link.Load(); link != nil {
		state := link.State()
		s.Shared, s.SharedWaiting = state.Server, state.Waiting
		if state.Why != nil {
			s.SharedWhy = state.Why.Error()
		}
	}
	return s
}
