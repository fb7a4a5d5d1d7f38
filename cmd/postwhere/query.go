package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"postwhere/cache"
	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
	"postwhere/probe"
)

// query is one run of the command.
type query struct {
	*common
	fresh, trace, json bool

	cfg    *config.Config
	daemon *control.Client // nil: the hosts are asked from here
	local  *world.World    // asks the hosts; nil until it is needed
	worst  int             // exit status so far
}

func queryCommand(c *common) *cobra.Command {
	q := &query{common: c}
	cmd := &cobra.Command{
		Use:   "query ADDRESS…|-",
		Short: "Print the verdict about addresses",
		Long: `Print ADDRESS<TAB>VERDICT<TAB>HOST<TAB>TRANSPORT for each address; - reads them
from standard input, one a line. The running daemon is asked, or the hosts with
--fresh and where no daemon runs; then the daemon learns nothing of what they say:
for that, have it forget ("postwhere cache flush") and ask again. Exit status:
0 deliver, 1 reject, 75 defer, 2 pass, 64 usage, 78 configuration; of several
addresses the largest.`,
		RunE: func(cmd *cobra.Command, args []string) error { return q.run(cmd.Context(), args) },
	}
	cmd.Flags().BoolVar(&q.fresh, "fresh", false, "ask the hosts, whatever is remembered; the daemon does not learn it")
	cmd.Flags().BoolVar(&q.trace, "trace", false, "ask the hosts, and print the dialogue with each")
	cmd.Flags().BoolVar(&q.json, "json", false, "print an object a line")
	return cmd
}

func (q *query) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return usage("query: want at least one address, or - to read them from standard input")
	}
	var err error
	if q.cfg, err = q.load(); err != nil {
		return err
	}
	if !q.fresh && !q.trace {
		if q.daemon = control.NewClient(q.cfg); q.daemon != nil {
			defer q.daemon.Close()
		} else {
			complain(q.err, "listen.control is empty, so the daemon cannot be asked: asking the hosts")
		}
	}
	defer q.closeLocal(ctx)
	for _, arg := range args {
		if arg != "-" {
			err = q.one(ctx, arg)
		} else {
			err = q.lines(ctx)
		}
		if err != nil {
			return asExit(err)
		}
	}
	if q.worst != exitOK {
		return exit{status: q.worst}
	}
	return nil
}

// asExit gives an error that has none the status of a verdict that there is not.
func asExit(err error) error {
	var e exit
	if errors.As(err, &e) {
		return err
	}
	return exit{exitDefer, err}
}

// lines asks about each line of standard input.
func (q *query) lines(ctx context.Context) error {
	lines := bufio.NewScanner(q.in)
	n := 0
	for ; lines.Scan(); n++ {
		if address := strings.TrimSpace(lines.Text()); address != "" {
			if err := q.one(ctx, address); err != nil {
				return err
			}
		}
	}
	if err := lines.Err(); err != nil {
		return usage("query: standard input, line %d: %w", n+1, err)
	}
	return nil
}

// one asks about one address and prints the result.
func (q *query) one(ctx context.Context, address string) error {
	if _, err := policy.ParseAddress(address); errors.Is(err, policy.ErrNoAddress) {
		complain(q.err, "%v", err)
		q.worst = max(q.worst, exitUsage)
		return nil
	}
	r, dialogue, err := q.ask(ctx, address)
	if err != nil {
		return err
	}
	q.worst = max(q.worst, exitOf(r.Result))
	if r.Unsure {
		complain(q.err, "%s: %s", address, r.Why)
	}
	if q.json {
		out := json.NewEncoder(q.out)
		out.SetEscapeHTML(false) // replies are full of <>
		return out.Encode(struct {
			control.Result
			Trace []world.TraceLine `json:"trace,omitempty"`
		}{r.Result, dialogue})
	}
	text := r.Line() + "\n"
	for _, l := range dialogue {
		text += l.String() + "\n"
	}
	_, err = io.WriteString(q.out, text)
	return err
}

// ask asks the daemon, or the hosts where there is none.
func (q *query) ask(ctx context.Context, address string) (control.Reported, []world.TraceLine, error) {
	if q.daemon != nil {
		r, err := q.daemon.Query(ctx, address)
		if err == nil {
			return r, nil, nil
		}
		if errors.Is(err, control.ErrNoDaemon) {
			complain(q.err, "no daemon answers at %s: asking the hosts", q.cfg.Listen.Control[0])
		} else {
			complain(q.err, "the daemon cannot be asked (%v): asking the hosts", err)
		}
		q.daemon = nil
	}
	if q.trace {
		return q.askTracing(ctx, address)
	}
	if q.local == nil {
		var err error
		if q.local, err = q.newLocal(ctx); err != nil {
			return control.Reported{}, nil, err
		}
	}
	q.resolve(ctx, q.local, address)
	f, err := q.search(ctx, q.local, address)
	return control.ResultOf(address, f), nil, err
}

// askTracing asks about one address over connections of its own, so that the
// trace has all of the dialogue and nothing else, and has hosts that gave no answer,
// too.
func (q *query) askTracing(ctx context.Context, address string) (control.Reported, []world.TraceLine, error) {
	var d world.Dialogue
	w, err := q.newLocal(probe.WithTrace(ctx, d.Note))
	if err != nil {
		return control.Reported{}, nil, err
	}
	q.resolve(ctx, w, address)
	w.TellAnswers(d.Fault)
	f, err := q.search(ctx, w, address)
	w.Close(ctx) // hears the hosts that the verdict did not wait for
	return control.ResultOf(address, f), d.Heard(), err
}

// resolve looks up the hosts of the address's domain, if it has them by MX.
func (q *query) resolve(ctx context.Context, w *world.World, address string) {
	a, _ := policy.ParseAddress(address)
	if err := w.ResolveMX(ctx, a.Domain()); err != nil {
		complain(q.err, "%v", err) // and so the verdict is defer
	}
}

// search has the hosts asked from here.
func (q *query) search(ctx context.Context, w *world.World, address string) (policy.Finding, error) {
	return w.Searcher.Search(ctx, policy.Request{Recipient: address, Face: "query", Door: true})
}

// newLocal builds what the daemon would have, to ask the hosts from here.
func (q *query) newLocal(ctx context.Context) (*world.World, error) {
	memory, err := cache.New(q.cfg.MemoryOptions())
	if err != nil {
		return nil, exit{exitConfig, err}
	}
	w, err := world.New(ctx, q.cfg, memory, world.Past{}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, exit{exitConfig, err}
	}
	return w, nil
}

func (q *query) closeLocal(ctx context.Context) {
	if q.local != nil {
		q.local.Close(ctx)
	}
}

// exitOf returns query's exit status.
func exitOf(r control.Result) int {
	switch r.Verdict {
	case policy.Deliver.String():
		return exitDeliver
	case policy.Reject.String():
		return exitReject
	case policy.Pass.String():
		return exitPass
	}
	return exitDefer
}
