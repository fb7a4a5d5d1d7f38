package postfix

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// recordName is the folder of records in the configuration directory. What is put
// back from there has root's rights, for main.cf and master.cf name programs to be
// run: so it must not be where a user of another name may write, such as our own
// state directory. And each instance has its own.
const recordName = "postwhere.undo"

// recordTime is what a record is called by.
const recordTime = "2006-01-02T15:04:05.000000Z"

// record is what one change has done, so that it can be taken back: each file by
// its name, "" if it was not there. The zero value is no change.
type record struct {
	dir           string // its own, below recordName
	before, after map[string]string
}

// readRecords returns all records of an instance, the last one last.
func readRecords(conf string) ([]record, error) {
	all, err := recordsIn(conf)
	for i := range all {
		r := &all[i]
		if err == nil {
			r.before, err = readAll(filepath.Join(r.dir, "before"))
		}
		if err == nil {
			r.after, err = readAll(filepath.Join(r.dir, "after"))
		}
	}
	return all, err
}

// recordsIn returns the folders of all records of an instance, the last one last, and
// nothing else that may be there.
func recordsIn(conf string) ([]record, error) {
	folder := filepath.Join(conf, recordName)
	entries, err := os.ReadDir(folder) // by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []record
	for _, e := range entries {
		if _, err := time.Parse(recordTime, e.Name()); err == nil && e.IsDir() {
			all = append(all, record{dir: filepath.Join(folder, e.Name())})
		}
	}
	return all, err
}

// readAll reads all files of a folder.
func readAll(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := make(map[string]string)
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name())) //nolint:gosec // root's own folder
		if err != nil {
			return nil, err
		}
		texts[e.Name()] = string(text)
	}
	return texts, nil
}

// write makes the record, for root alone: as a whole, for a folder gets its name last.
func (r *record) write(conf string) error {
	folder := filepath.Join(conf, recordName)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	unfinished, err := os.MkdirTemp(conf, recordName+".")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(unfinished) }() // gone by then, if all went well
	for name, texts := range map[string]map[string]string{"before": r.before, "after": r.after} {
		if err := os.Mkdir(filepath.Join(unfinished, name), 0o700); err != nil {
			return err
		}
		for file, text := range texts {
			if err := os.WriteFile(filepath.Join(unfinished, name, file), []byte(text), 0o600); err != nil {
				return err
			}
		}
	}
	r.dir = filepath.Join(folder, time.Now().UTC().Format(recordTime))
	return os.Rename(unfinished, r.dir)
}

// forget removes a record, and the folder with the last one.
func (r record) forget() error {
	if r.dir == "" {
		return nil
	}
	if err := os.RemoveAll(r.dir); err != nil {
		return err
	}
	if left, err := os.ReadDir(filepath.Dir(r.dir)); err != nil || len(left) > 0 {
		return err
	}
	return os.Remove(filepath.Dir(r.dir))
}
