package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postwhere/cmd/postwhere/attach"
	"postwhere/cmd/postwhere/postfix"
)

// applyTo attaches postwhere to the Postfix of this machine.
func (r *postfixRun) applyTo(ctx context.Context) error {
	cfg, err := r.load()
	if err != nil {
		return err
	}
	conf, err := attach.Read(ctx, "")
	if err != nil {
		return exit{exitProblem, fmt.Errorf("postfix cannot be read: %w", err)}
	}
	todo, err := attach.PlanFor(ctx, cfg, r.way(), conf)
	switch {
	case err != nil:
		return exit{exitConfig, err}
	case len(todo.Hinders) > 0:
		return exit{exitConfig, fmt.Errorf("mail would come to a stop: %s", strings.Join(todo.Hinders, "; "))}
	case !todo.Changes():
		_, err := fmt.Fprintf(r.out, "There is nothing to change: Postfix (%s) is attached so.\n", conf.Dir)
		return err
	}
	change, err := postfix.Open(conf.Dir)
	if err != nil {
		return exit{exitProblem, err}
	}
	defer change.Close()
	// What was attached before goes first, by the record of it: it may name listeners
	// that the configuration has no more.
	if _, err := change.TakeBack(); err != nil {
		return exit{exitProblem, err}
	}
	was, err := attach.Read(ctx, change.Dir())
	if err != nil {
		return exit{exitProblem, err}
	}
	if todo, err = attach.PlanFor(ctx, cfg, r.way(), was); err != nil {
		return exit{exitConfig, err}
	}
	if err := change.Edit(ctx, todo.Edits); err != nil {
		return exit{exitProblem, err}
	}
	for _, text := range todo.Minds {
		complain(r.err, "mind that %s", text)
	}
	return r.settle(ctx, change, conf.Dir, true)
}

// takeBack takes back what applyTo has done.
func (r *postfixRun) takeBack(ctx context.Context) error {
	dir, err := postfix.Directory(ctx)
	if err != nil {
		return exit{exitProblem, fmt.Errorf("postfix cannot be read: %w", err)}
	}
	change, err := postfix.Open(dir)
	if err != nil {
		return exit{exitProblem, err}
	}
	defer change.Close()
	missed, err := change.TakeBack()
	if err != nil {
		return exit{exitProblem, err}
	}
	if !change.Recorded() || len(missed) > 0 {
		if missed, err = r.detach(ctx, change, missed); err != nil {
			return err
		}
	}
	for _, name := range missed {
		complain(r.err, "%s was changed since by somebody else, or is in use: look at it yourself", name)
	}
	return r.settle(ctx, change, dir, false)
}

// detach takes out, in the copy, what names the listeners of this configuration:
// what was attached by hand, or changed since. It returns what is still to be looked
// at of missed.
func (r *postfixRun) detach(ctx context.Context, change *postfix.Change, missed []string) ([]string, error) {
	cfg, err := r.load()
	if err != nil {
		return nil, err
	}
	conf, err := attach.Read(ctx, change.Dir())
	if err != nil {
		return nil, exit{exitProblem, err}
	}
	todo, err := attach.PlanFor(ctx, cfg, attach.Detached, conf)
	if err != nil {
		return nil, exit{exitConfig, err}
	}
	if !change.Recorded() {
		complain(r.err, "there is no record of an --apply here: what names postwhere is taken out, and relay_domains is left alone")
	}
	if err := change.Edit(ctx, todo.Edits); err != nil {
		return nil, exit{exitProblem, err}
	}
	return slices.DeleteFunc(missed, attach.Detaches), nil
}

// settle shows a change, asks, and puts it in place.
func (r *postfixRun) settle(ctx context.Context, change *postfix.Change, dir string, keep bool) error {
	text, err := change.Diff()
	if err != nil {
		return exit{exitProblem, err}
	}
	if text == "" && (keep || !change.Recorded()) {
		_, err := fmt.Fprintf(r.out, "There is nothing to change in %s.\n", dir)
		return err
	}
	_, _ = fmt.Fprint(r.out, text)
	ask, canAsk := newAsker(r.streams)
	switch {
	case r.yes:
	case !canAsk:
		complain(r.err, "nothing was changed: say --yes to do it, or answer at a terminal")
		return exit{status: exitProblem}
	case !ask.yes("Change " + dir + " so?"):
		complain(r.err, "nothing was changed")
		return exit{status: exitProblem}
	}
	reloaded, err := change.Commit(ctx, keep)
	if err != nil {
		return exit{exitProblem, err}
	}
	done := "Done"
	if !reloaded {
		done = "Done. Postfix does not run: start it"
	} else {
		done += ", and Postfix was reloaded"
	}
	if keep {
		done += ". `postwhere postfix --undo` takes it back; look at all of it by `postwhere check`"
	}
	_, err = fmt.Fprintln(r.out, done+".")
	return err
}
