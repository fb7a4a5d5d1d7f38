package postfix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
)

// both are the files that postconf(1) changes.
var both = []string{"main.cf", "master.cf"}

// Change is a change of one instance that is made on a copy, to be looked at and
// then committed. It is for one goroutine.
type Change struct {
	dir    string            // of the instance
	copy   string            // of its configuration
	now    map[string]string // the files of the instance, "" for one that is not there
	before map[string]string // the same without what the records have
	made   []record          // the last one last
}

// Open begins a change of the instance in dir. Nothing is touched. Close it.
func Open(dir string) (*Change, error) {
	c := &Change{dir: dir, now: make(map[string]string)}
	var err error
	if c.made, err = readRecords(dir); err != nil {
		return nil, fmt.Errorf("the record of what was changed: %w", err)
	}
	names := slices.Clone(both)
	for _, r := range c.made {
		names = append(names, slices.Sorted(maps.Keys(r.after))...)
	}
	for _, name := range names {
		if c.now[name], err = readFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	if c.copy, err = os.MkdirTemp("", "postwhere-"); err != nil {
		return nil, err
	}
	c.before = maps.Clone(c.now)
	if err := c.fill(c.now); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close forgets the copy.
func (c *Change) Close() { _ = os.RemoveAll(c.copy) }

// Dir returns the directory of the copy, to be read.
func (c *Change) Dir() string { return c.copy }

// Recorded tells whether there is something to take back.
func (c *Change) Recorded() bool { return len(c.made) > 0 }

// TakeBack takes back, in the copy, what the records say was changed. What somebody
// else has changed since stays. missed says which entries could not be taken back.
//
// There is more than one record if a change has ended between its record and its
// files. Each says how all was before the first: so all are taken back, the last first.
func (c *Change) TakeBack() (missed []string, err error) {
	for _, r := range slices.Backward(c.made) {
		missed = append(missed, c.takeBack(r)...)
	}
	slices.Sort(missed)
	return slices.Compact(missed), c.fill(c.before)
}

func (c *Change) takeBack(r record) (missed []string) {
	for name, after := range r.after {
		before, now := r.before[name], c.before[name]
		switch {
		case name == both[0] || name == both[1]:
			k := mainCF
			if name == both[1] {
				k = masterCF
			}
			var left []string
			c.before[name], left = k.takenBack(before, after, now)
			missed = append(missed, left...)
		case now == after:
			c.before[name] = before
		case now == before, after == before: // never put in place
		default:
			missed = append(missed, name)
		}
	}
	return missed
}

// Edit makes changes in the copy.
func (c *Change) Edit(ctx context.Context, edits []Edit) error {
	for _, e := range edits {
		if e.File != "" {
			if _, known := c.now[e.File]; !known {
				text, err := readFile(filepath.Join(c.dir, e.File))
				if err != nil {
					return err
				}
				c.now[e.File], c.before[e.File] = text, text
			}
		}
		if err := e.perform(ctx, c.copy); err != nil {
			return err
		}
	}
	return nil
}

// Diff returns what the change is, as diff -u prints it; "" if there is none.
func (c *Change) Diff() (string, error) {
	then, err := c.then()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(then)) {
		path := filepath.Join(c.dir, name)
		text := diff.Diff(path, []byte(c.now[name]), path, []byte(then[name]))
		_, text, _ = cut(text, '\n') // "diff OLD NEW"
		b.Write(text)
	}
	return b.String(), nil
}

func cut(text []byte, at byte) (head, tail []byte, found bool) {
	if i := slices.Index(text, at); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return nil, text, false
}

// then returns the files of the copy.
func (c *Change) then() (map[string]string, error) {
	texts := make(map[string]string)
	for name := range c.now {
		var err error
		if texts[name], err = readFile(filepath.Join(c.copy, name)); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// fill writes the copy.
func (c *Change) fill(texts map[string]string) error {
	for name, text := range texts {
		path := filepath.Join(c.copy, name)
		var err error
		if text == "" {
			err = os.RemoveAll(path)
		} else {
			err = os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // a copy of what everybody may read
		}
		if err != nil {
			return err
		}
	}
	return age(c.copy)
}

// readFile returns a file's text, "" if there is none.
func readFile(path string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the administrator's own configuration
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return string(text), err
}
