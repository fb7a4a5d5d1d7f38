package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"postwhere/policy"
)

// controlled is what the control socket asks. Its methods may be called concurrently.
type controlled interface {
	// Search looks an address up.
	Search(ctx context.Context, r policy.Request) (policy.Finding, error)
	// Hosts reports on each host, in the order of domains and of preference.
	hosts() []hostReport
	// Drain takes hosts out of the asking, or back in: all of them, or none and an
	// error that says why.
	drain(names []string, drained bool) ([]drainage, error)
	flusher
	// Dump writes all that is remembered, until it cannot be written.
	dump(to io.Writer)
	// MemoryStats returns how full memory is, and where it is kept.
	memoryStats() memoryStats
}

// flusher has memory forget.
type flusher interface {
	// Flush forgets what a query names: any number of addresses, or one of domain,
	// host, strangers and all. It forgets all of it, or nothing and returns an error
	// that says what is wrong with the query.
	flush(ctx context.Context, query url.Values) (flushed, error)
}

// controlHandler answers the command line, by HTTP over a Unix socket, in JSON:
// GET /query?address=… with a result, GET /hosts with reports, and
// POST /drain?host=…&host=… or /undrain with what has become of the hosts; and about
// memory.
func controlHandler(d controlled) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, d.hosts()) })
	for what, drained := range map[string]bool{"drain": true, "undrain": false} {
		mux.HandleFunc("POST /"+what, func(w http.ResponseWriter, r *http.Request) {
			done, err := d.drain(r.URL.Query()["host"], drained)
			if err != nil {
				http.Error(w, what+": "+err.Error(), http.StatusBadRequest)
				return
			}
			answerJSON(w, done)
		})
	}
	mux.HandleFunc("GET /query", func(w http.ResponseWriter, r *http.Request) {
		address := r.URL.Query().Get("address")
		f, err := d.Search(r.Context(), policy.Request{Recipient: address, Face: "control", Door: true})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answerJSON(w, resultOf(address, f))
	})
	answerAboutMemory(mux, d)
	return mux
}

func answerJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // an error is the asker's having gone
}

// controlServer serves the control socket.
type controlServer struct{ http.Server }

func newControlServer(d controlled, log *slog.Logger) *controlServer {
	return &controlServer{http.Server{
		Handler: controlHandler(d), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// Shutdown drains the server until ctx ends, and then cuts off what is left.
func (s *controlServer) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx)
	if err != nil {
		_ = s.Close()
	}
	return err
}

// answerAboutMemory has GET /cache/dump return remembered after remembered, GET
// /cache/stats a memoryStats, and POST /cache/flush a flushed; its query says what, as
// flush has it.
func answerAboutMemory(mux *http.ServeMux, d controlled) {
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
}
