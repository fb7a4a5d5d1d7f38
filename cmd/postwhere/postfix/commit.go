package postfix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/google/renameio/v2"
)

// Commit puts the change in place, and has Postfix read it if it runs; reloaded
// tells whether it does. `postfix check` must be content before and after. On an
// error everything is as it was. With keep the change is recorded, so that it can be
// taken back; else the record goes.
func (c *Change) Commit(ctx context.Context, keep bool) (reloaded bool, err error) {
	then, err := c.then()
	if err != nil {
		return false, err
	}
	if err := c.unchanged(); err != nil {
		return false, err
	}
	if _, err := run(ctx, c.dir, "postfix", "check"); err != nil {
		return false, fmt.Errorf("nothing was changed, for Postfix is not content with its configuration as it is: %w", err)
	}
	made := record{before: c.before, after: then}
	if keep {
		if err := made.write(c.dir); err != nil {
			return false, fmt.Errorf("the record of the change: %w", err)
		}
	}
	if reloaded, err = c.place(ctx, then); err != nil {
		err = fmt.Errorf("%w; everything is as it was", err)
		if back := c.putBack(ctx); back != nil {
			err = fmt.Errorf("%w, but for this: %w", err, back)
		}
		return false, errors.Join(err, made.forget())
	}
	if !keep {
		made = record{}
	}
	return reloaded, c.forgetBut(made)
}

// unchanged sees to it that nobody has changed the files since they were read.
func (c *Change) unchanged() error {
	for name, text := range c.now {
		is, err := readFile(filepath.Join(c.dir, name))
		if err != nil {
			return err
		}
		if is != text {
			return fmt.Errorf("nothing was changed, for %s was changed by somebody else meanwhile: try again", name)
		}
	}
	return nil
}

// place writes the files, and has Postfix look at them.
func (c *Change) place(ctx context.Context, texts map[string]string) (reloaded bool, err error) {
	if err := c.install(texts); err != nil {
		return false, err
	}
	if _, err := run(ctx, c.dir, "postfix", "check"); err != nil {
		return false, fmt.Errorf("Postfix is not content with the change: %w", err) //nolint:staticcheck // its name
	}
	if _, err := run(ctx, c.dir, "postfix", "status"); err != nil {
		return false, nil //nolint:nilerr // it does not run
	}
	if _, err := run(ctx, c.dir, "postfix", "reload"); err != nil {
		return false, fmt.Errorf("postfix reload: %w", err)
	}
	return true, nil
}

// putBack writes the files as they were.
func (c *Change) putBack(ctx context.Context) error {
	if err := c.install(c.now); err != nil {
		return err
	}
	if _, err := run(ctx, c.dir, "postfix", "status"); err == nil {
		_, err = run(ctx, c.dir, "postfix", "reload")
		return err
	}
	return nil
}

// install writes the files that are not so yet, main.cf and master.cf last: they
// refer to the others.
func (c *Change) install(texts map[string]string) error {
	names := slices.Sorted(maps.Keys(texts))
	slices.SortStableFunc(names, func(a, b string) int { return slices.Index(both, a) - slices.Index(both, b) })
	for _, name := range names {
		path := filepath.Join(c.dir, name)
		is, err := readFile(path)
		switch {
		case err != nil:
			return err
		case is == texts[name]:
			continue
		case texts[name] == "":
			err = os.Remove(path)
		default:
			err = replace(path, texts[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// replace writes a file by rename, with the owner and the mode that it had. A link
// stays one.
func replace(path, text string) error {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		path = at
	}
	f, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o644), renameio.WithExistingPermissions())
	if err != nil {
		return err
	}
	defer f.Cleanup() //nolint:errcheck // nothing to be done about it
	if info, err := os.Stat(path); err == nil {
		if owner, ok := info.Sys().(*syscall.Stat_t); ok {
			if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
		}
	}
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	return f.CloseAtomicallyReplace()
}

// forgetBut removes all records but one.
func (c *Change) forgetBut(kept record) error {
	all, err := recordsIn(c.dir)
	if err != nil {
		return err
	}
	for _, r := range all {
		if r.dir != kept.dir {
			if err := r.forget(); err != nil {
				return err
			}
		}
	}
	return nil
}
