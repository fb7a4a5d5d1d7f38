package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"postwhere/policy"
)

// Daemon is what the control socket asks. Its methods may be called concurrently.
type Daemon interface {
	// Search looks an address up.
	Search(ctx context.Context, r policy.Request) (policy.Finding, error)
	// Hosts reports on each host, in the order of domains and of preference.
	Hosts() []HostReport
	// Drain takes hosts out of the asking, or back in: all of them, or none and an
	// error that says why.
	Drain(names []string, drained bool) ([]Drainage, error)
	// Standing returns which configuration it runs by.
	Standing() Standing
	// Reload has it read its configuration again, and returns why that was refused.
	Reload(ctx context.Context) error
	Flusher
	// Dump writes all that is remembered, until it cannot be written.
	Dump(to io.Writer)
	// MemoryStats returns how full memory is, and where it is kept.
	MemoryStats() MemoryStats
}

// Flusher has memory forget.
type Flusher interface {
	// Flush forgets what a query names: any number of addresses, or one of domain,
	// host, strangers and all. It forgets all of it, or nothing and returns an error
	// that says what is wrong with the query.
	Flush(ctx context.Context, query url.Values) (Flushed, error)
}

// handler answers the command line, by HTTP over a Unix socket, in JSON:
// GET /query?address=… with a Reported, GET /hosts with HostReports, and
// POST /drain?host=…&host=… or /undrain with a Drainage for each; GET /configuration
// and POST /reload with a Standing; and about memory.
func handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, d.Hosts()) })
	for what, drained := range map[string]bool{"drain": true, "undrain": false} {
		mux.HandleFunc("POST /"+what, func(w http.ResponseWriter, r *http.Request) {
			done, err := d.Drain(r.URL.Query()["host"], drained)
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
		answerJSON(w, ResultOf(address, f))
	})
	mux.HandleFunc("GET /configuration", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, d.Standing()) })
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		switch err := d.Reload(r.Context()); {
		case errors.Is(err, ErrEnding):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			answerJSON(w, d.Standing())
		}
	})
	answerAboutMemory(mux, d)
	return mux
}

func answerJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // an error is the asker's having gone
}

// Server serves the control socket, by Serve, until Shutdown.
type Server struct{ http.Server }

// NewServer returns a server that asks d.
func NewServer(d Daemon, log *slog.Logger) *Server {
	return &Server{http.Server{
		Handler: handler(d), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
}

// Shutdown drains the server until ctx ends, and then cuts off what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.Server.Shutdown(ctx)
	if err != nil {
		_ = s.Close()
	}
	return err
}

// answerAboutMemory has GET /cache/dump return Remembered after Remembered, GET
// /cache/stats a MemoryStats, and POST /cache/flush a Flushed; its query says what, as
// Flusher has it.
func answerAboutMemory(mux *http.ServeMux, d Daemon) {
	mux.HandleFunc("GET /cache/dump", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jsonl")
		d.Dump(w)
	})
	mux.HandleFunc("GET /cache/stats", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, d.MemoryStats()) })
	mux.HandleFunc("POST /cache/flush", func(w http.ResponseWriter, r *http.Request) {
		done, err := d.Flush(r.Context(), r.URL.Query())
		if err != nil {
			http.Error(w, "cache flush: "+err.Error(), http.StatusBadRequest)
			return
		}
		answerJSON(w, done)
	})
}
