package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

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
		f, err := s.Search(r.Context(), policy.Request{Recipient: address, Face: "control"})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(resultOf(address, f)) // an error is the asker's having gone
	})
	return mux
}

// newControlServer returns the server of the control socket.
func newControlServer(s searcher) *http.Server {
	return &http.Server{Handler: controlHandler(s), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16}
}

// errNoDaemon: nobody answers at the control socket.
var errNoDaemon = errors.New("no daemon is running")

// controlClient talks to a running daemon.
type controlClient struct{ http http.Client }

func newControlClient(path string) *controlClient {
	return &controlClient{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// query asks the daemon about one address. Its error wraps errNoDaemon if there
// is none.
func (c *controlClient) query(ctx context.Context, address string) (result, error) {
	var r result
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
	defer response.Body.Close() //nolint:errcheck // only read
	if response.StatusCode != http.StatusOK {
		return r, fmt.Errorf("the daemon says %s", response.Status)
	}
	return r, json.NewDecoder(response.Body).Decode(&r)
}

func (c *controlClient) close() { c.http.CloseIdleConnections() }
