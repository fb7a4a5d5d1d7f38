package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
)

// searcher is what the faces and the control socket ask.
type searcher interface {
	Search(ctx context.Context, r policy.Request) (policy.Finding, error)
}

// controlHandler answers the command line, by HTTP over a Unix socket:
// GET /query?address=… returns a result as JSON.
func controlHandler(s searcher) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /query", func(w http.ResponseWriter, r *http.Request) {
		address := r.URL.Query().Get("address")
		f, err := s.Search(r.Context(), policy.Request{Recipient: address, Face: "control", Door: true})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(resultOf(address, f)) // an error is the asker's having gone
	})
	return mux
}

// controlServer serves the control socket.
type controlServer struct{ http.Server }

func newControlServer(s searcher, log *slog.Logger) *controlServer {
	return &controlServer{http.Server{
		Handler: controlHandler(s), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16,
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

// errNoDaemon: nobody answers at the control socket.
var errNoDaemon = errors.New("no daemon is running")

// controlClient talks to a running daemon.
type controlClient struct {
	http     http.Client
	patience time.Duration // with one question
}

// newControlClient returns a client of the daemon that runs by this
// configuration; nil if it cannot be asked by it.
func newControlClient(cfg *config.Config) *controlClient {
	if len(cfg.Listen.Control) == 0 {
		return nil
	}
	path := cfg.Listen.Control[0].Address
	return &controlClient{patience: time.Duration(cfg.Search.Deadline) + 10*time.Second, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// query asks the daemon about one address. Its error wraps errNoDaemon if there
// is none.
func (c *controlClient) query(ctx context.Context, address string) (reported, error) {
	var r reported
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://postwhere/query?address="+url.QueryEscape(address), nil)
	if err != nil {
		return r, err
	}
	response, err := c.http.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return r, fmt.Errorf("%w: %w", errNoDaemon, err)
	case err != nil:
		return r, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return r, fmt.Errorf("the daemon says %s: %s", response.Status, printable(strings.TrimSpace(string(text))))
	}
	err = json.NewDecoder(response.Body).Decode(&r)
	return r, err
}

func (c *controlClient) close() { c.http.CloseIdleConnections() }
