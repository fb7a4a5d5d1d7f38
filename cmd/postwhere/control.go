package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"postwhere/cmd/postwhere/control"
)

// mustControl returns a client of the daemon, for a command that is nothing without
// one.
func (c *common) mustControl() (*control.Client, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	client := control.NewClient(cfg)
	if client == nil {
		return nil, exit{exitNone, errors.New("listen.control is empty: the daemon cannot be asked")}
	}
	return client, nil
}

// unanswered is the error of such a command that the daemon did not answer as it
// should.
func (c *common) unanswered(err error) error {
	var refused control.DaemonError
	switch {
	case errors.Is(err, control.ErrNoDaemon):
		return exit{exitNone, fmt.Errorf("%w: start it by `systemctl start postwhere`, or `postwhere serve` where there is no systemd; `postwhere check` asks the hosts without one", err)}
	case errors.As(err, &refused) && refused.WrongCall:
		return exit{exitUsage, errors.New(refused.Text)}
	}
	return exit{exitNone, fmt.Errorf("the daemon cannot be asked: %w", err)}
}

// askMemory puts a request about memory to the daemon, and waits for as long as the
// answer takes to read.
func (c *common) askMemory(ctx context.Context, method, what string, query url.Values, read func(io.Reader) error) error {
	client, err := c.mustControl()
	if err != nil {
		return err
	}
	defer client.Close()
	body, err := client.Open(ctx, method, "/cache/"+what, query)
	if err != nil {
		return c.unanswered(err)
	}
	defer body.Close()
	if err := read(body); err != nil {
		return exit{exitProblem, err}
	}
	return nil
}
