package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
)

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

// stats asks how full memory is.
func (c *controlClient) stats(ctx context.Context) (s memoryStats, err error) {
	err = c.call(ctx, http.MethodGet, "/cache/stats", nil, &s)
	return s, err
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
		return nil, daemonError{response.Status, maillog.Printable(strings.TrimSpace(string(text))), response.StatusCode == http.StatusBadRequest}
	}
	return response.Body, nil
}

func (c *controlClient) close() { c.http.CloseIdleConnections() }
