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

// hostKeeper is what the control socket asks about hosts.
type hostKeeper interface {
	hosts() []hostReport
	drain(names []string, drained bool) ([]drainage, error)
}

// controlHandler answers the command line, by HTTP over a Unix socket, in JSON:
// GET /query?address=… with a result, GET /hosts with reports, and
// POST /drain?host=…&host=… or /undrain with what has become of the hosts.
func controlHandler(s searcher, k hostKeeper) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hosts", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, k.hosts()) })
	for what, drained := range map[string]bool{"drain": true, "undrain": false} {
		mux.HandleFunc("POST /"+what, func(w http.ResponseWriter, r *http.Request) {
			done, err := k.drain(r.URL.Query()["host"], drained)
			if err != nil {
				http.Error(w, what+": "+err.Error(), http.StatusBadRequest)
				return
			}
			answerJSON(w, done)
		})
	}
	mux.HandleFunc("GET /query", func(w http.ResponseWriter, r *http.Request) {
		address := r.URL.Query().Get("address")
		f, err := s.Search(r.Context(), policy.Request{Recipient: address, Face: "control", Door: true})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		answerJSON(w, resultOf(address, f))
	})
	return mux
}

func answerJSON(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // an error is the asker's having gone
}

// controlServer serves the control socket.
type controlServer struct{ http.Server }

func newControlServer(s searcher, k hostKeeper, log *slog.Logger) *controlServer {
	return &controlServer{http.Server{
		Handler: controlHandler(s, k), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 1 << 16,
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

// daemonError is what the daemon says in place of an answer.
type daemonError struct {
	status    string
	text      string
	wrongCall bool // it was asked something that there is not
}

func (e daemonError) Error() string { return "the daemon says " + e.status + ": " + e.text }

// query asks the daemon about one address. Its error, as those of the other
// questions, wraps errNoDaemon if there is none, and is a daemonError if the daemon
// will not answer.
func (c *controlClient) query(ctx context.Context, address string) (r reported, err error) {
	err = c.call(ctx, http.MethodGet, "/query", url.Values{"address": {address}}, &r)
	return r, err
}

// hosts asks for a report on each host.
func (c *controlClient) hosts(ctx context.Context) (all []hostReport, err error) {
	err = c.call(ctx, http.MethodGet, "/hosts", nil, &all)
	return all, err
}

// drain has hosts drained or undrained: what says which.
func (c *controlClient) drain(ctx context.Context, what string, hosts []string) (done []drainage, err error) {
	err = c.call(ctx, http.MethodPost, "/"+what, url.Values{"host": hosts}, &done)
	return done, err
}

// call puts one request, and reads the answer.
func (c *controlClient) call(ctx context.Context, method, path string, query url.Values, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	body, err := c.open(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(answer)
}

// open puts one request, and returns the answer to be read.
func (c *controlClient) open(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://postwhere"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	var failed *url.Error // which says our side of it, too
	if errors.As(err, &failed) {
		err = failed.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: %w", errNoDaemon, err)
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, daemonError{response.Status, printable(strings.TrimSpace(string(text))), response.StatusCode == http.StatusBadRequest}
	}
	return response.Body, nil
}

func (c *controlClient) close() { c.http.CloseIdleConnections() }
