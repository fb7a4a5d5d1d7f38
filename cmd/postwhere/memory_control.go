package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
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

// flushed is what a flush has come to.
type flushed struct {
	Owners    int    `json:"owners"`
	Strangers int    `json:"strangers"`
	Why       string `json:"why"`        // it is not in the file yet, "": it is
	SharedWhy string `json:"shared_why"` // the other front ends do not know yet, "": they do
}

// memoryHandler answers the command line about memory, and hands on the rest:
// GET /cache/dump returns remembered after remembered, GET /cache/stats a
// memoryStats, and POST /cache/flush a flushed; it takes one of address, domain,
// host, strangers and all in its query.
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

// syncWait is how long a flush waits for the file, and for the other front ends.
const syncWait = 5 * time.Second

// flush forgets what a query names.
func (d *daemon) flush(ctx context.Context, query url.Values) (f flushed, err error) {
	p, err := d.purgeOf(query)
	if err != nil {
		return f, err
	}
	f.Owners, f.Strangers = d.memory.Purge(p)
	d.log.Info("memory is flushed", "what", query.Encode(), "owners", f.Owners, "strangers", f.Strangers)
	d.mu.RLock()
	keeper := d.keeper
	d.mu.RUnlock()
	ctx, cancel := context.WithTimeout(ctx, syncWait)
	defer cancel()
	if err := d.tiers.link.Load().Purge(ctx, p); err != nil {
		f.SharedWhy = err.Error()
	}
	if keeper != nil && !p.Strangers {
		if err := keeper.Sync(ctx); err != nil {
			f.Why = err.Error()
		}
	}
	return f, nil
}

// purgeOf returns what a query says is to be forgotten.
func (d *daemon) purgeOf(query url.Values) (p cache.Purge, err error) {
	if len(query) != 1 {
		return p, errors.New("want one of address, domain, host, strangers and all")
	}
	w := d.enter()
	defer w.requests.Done()
	var a policy.Address
	switch {
	case query.Get("address") != "":
		a, err = w.searcher.Asked(query.Get("address"))
		p.Name = cache.Name{Local: a.Local(), Domain: a.Domain()}
	case query.Get("domain") != "":
		if a, err = w.searcher.Asked("postmaster@" + query.Get("domain")); err != nil {
			// It may have been one of ours.
			p.Domain, err = policy.NormalDomain(query.Get("domain"))
			return p, err
		}
		p.Domain = a.Domain()
	case query.Get("host") != "":
		p.Host = query.Get("host")
	case query.Has("strangers"):
		p.Strangers = true
	case query.Has("all"):
		p.All = true
	default:
		err = errors.New("want one of address, domain, host, strangers and all, and what it is")
	}
	return p, err
}
