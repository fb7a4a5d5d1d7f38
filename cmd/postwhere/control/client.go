// Package control is what a running daemon can be asked and told, and how that goes over
// the wire: the control socket for the command line, and the listener for provisioning
// systems.
package control

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

// ErrNoDaemon is the error when nobody answers at the control socket.
var ErrNoDaemon = errors.New("no daemon is running")

// Client talks to a running daemon. Its methods may be called concurrently.
type Client struct {
	http     http.Client
	patience time.Duration // with one question
}

// NewClient returns a client of the daemon that runs by this
// configuration; nil if it cannot be asked by it.
func NewClient(cfg *config.Config) *Client {
	if len(cfg.Listen.Control) == 0 {
		return nil
	}
	path := cfg.Listen.Control[0].Address
	return &Client{patience: time.Duration(cfg.Search.Deadline) + 10*time.Second, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}}
}

// DaemonError is what the daemon says in place of an answer.
type DaemonError struct {
	Text      string
	WrongCall bool // it was asked something that there is not
	status    string
}

func (e DaemonError) Error() string { return "the daemon says " + e.status + ": " + e.Text }

// Query asks the daemon about one address. Its error, as those of the other
// questions, wraps ErrNoDaemon if there is none, and is a DaemonError if the daemon
// will not answer.
func (c *Client) Query(ctx context.Context, address string) (r Reported, err error) {
	err = c.call(ctx, http.MethodGet, "/query", url.Values{"address": {address}}, &r)
	return r, err
}

// Hosts asks for a report on each host.
func (c *Client) Hosts(ctx context.Context) (all []HostReport, err error) {
	err = c.call(ctx, http.MethodGet, "/hosts", nil, &all)
	return all, err
}

// Drain has hosts drained or undrained: what says which.
func (c *Client) Drain(ctx context.Context, what string, hosts []string) (done []Drainage, err error) {
	err = c.call(ctx, http.MethodPost, "/"+what, url.Values{"host": hosts}, &done)
	return done, err
}

// Stats asks how full memory is.
func (c *Client) Stats(ctx context.Context) (s MemoryStats, err error) {
	err = c.call(ctx, http.MethodGet, "/cache/stats", nil, &s)
	return s, err
}

// Reload has the daemon read its configuration again, and returns which it runs by then. If
// the daemon has refused it the error is a DaemonError of a WrongCall.
func (c *Client) Reload(ctx context.Context) (now Standing, err error) {
	err = c.call(ctx, http.MethodPost, "/reload", nil, &now)
	return now, err
}

// Standing asks which configuration the daemon runs by.
func (c *Client) Standing(ctx context.Context) (s Standing, err error) {
	err = c.call(ctx, http.MethodGet, "/configuration", nil, &s)
	return s, err
}

// call puts one request, and reads the answer.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience)
	defer cancel()
	body, err := c.Open(ctx, method, path, query)
	if err != nil {
		return err
	}
	defer body.Close()
	return json.NewDecoder(body).Decode(answer)
}

// Open puts one request, and returns the answer to be read.
func (c *Client) Open(ctx context.Context, method, path string, query url.Values) (io.ReadCloser, error) {
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
		return nil, fmt.Errorf("%w: %w", ErrNoDaemon, err)
	case err != nil:
		return nil, err
	case response.StatusCode != http.StatusOK:
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, DaemonError{maillog.Printable(strings.TrimSpace(string(text))), response.StatusCode == http.StatusBadRequest, response.Status}
	}
	return response.Body, nil
}

// Close ends the connections that are at rest.
func (c *Client) Close() { c.http.CloseIdleConnections() }
