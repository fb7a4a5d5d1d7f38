package postfix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// install writes the files that are not so yet, each as a whole: what refers to
// another comes after it, and goes before it. So whatever ends us in between, a
// process of Postfix's that starts then finds all that it is told of.
func (c *Change) install(texts map[string]string) error {
	is := make(map[string]string)
	for name := range texts {
		var err error
		if is[name], err = readFile(filepath.Join(c.dir, name)); err != nil {
			return err
		}
	}
	for _, name := range inOrder(is, texts) {
		path := filepath.Join(c.dir, name)
		var err error
		if texts[name] == "" {
			err = os.Remove(path)
		} else {
			err = replace(path, texts[name])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inOrder returns the files that change, in the order in which they are to be
// written: files that both refer to, main.cf, master.cf, which refers to main.cf, and
// what nobody refers to any more. Where main.cf loses a parameter to which master.cf
// refers until then, such as who may come in at an inner door, master.cf goes first.
func inOrder(is, will map[string]string) []string {
	files := slices.Clone(both)
	if losesParameters(is, will) {
		slices.Reverse(files)
	}
	var first, last []string
	for _, name := range slices.Sorted(maps.Keys(will)) {
		switch {
		case slices.Contains(both, name):
		case will[name] == "":
			last = append(last, name)
		default:
			first = append(first, name)
		}
	}
	return slices.DeleteFunc(slices.Concat(first, files, last), func(name string) bool {
		return is[name] == will[name]
	})
}

// losesParameters tells whether main.cf will lack a parameter that master.cf uses now.
func losesParameters(is, will map[string]string) bool {
	left := entriesOf(will["main.cf"], parameterOf)
	return slices.ContainsFunc(entriesOf(is["main.cf"], parameterOf), func(e entry) bool {
		return e.key != "" && find(left, e.key) < 0 && strings.Contains(is["master.cf"], "$"+e.key)
	})
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
