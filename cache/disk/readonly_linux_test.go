package disk

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// remount has what mount has mounted take writes, or none.
func remount(t *testing.T, dir string, readOnly bool) {
	t.Helper()
	var flag uintptr
	if readOnly {
		flag = syscall.MS_RDONLY
	}
	if err := syscall.Mount("postwhere", dir, "tmpfs", syscall.MS_REMOUNT|flag, "size=64k"); err != nil {
		t.Fatal(err)
	}
}

// readOnly returns a place where a directory cannot be written, and what ends that.
func readOnly(t *testing.T, dir string) (at string, end func()) {
	t.Helper()
	at = t.TempDir()
	if err := syscall.Mount(dir, at, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(at, 0) })
	bound := func(flag uintptr) {
		t.Helper()
		if err := syscall.Mount("", at, "", syscall.MS_REMOUNT|syscall.MS_BIND|flag, ""); err != nil {
			t.Fatal(err)
		}
	}
	bound(syscall.MS_RDONLY)
	return at, func() { t.Helper(); bound(0) }
}

func TestReadOnlyDiskCostsTheFileOnly(t *testing.T) {
	dir := mount(t)
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "cache.db")
		remount(t, dir, true)
		c := newCache(t)
		k, log := keep(t, path, c)
		c.Own(nth(t, 0), yes("mail1"))
		time.Sleep(time.Minute)
		wantOwner(t, c, nth(t, 0), "mail1")
		log.wants(t, 1, "let the daemon's user write there")
		log.wants(t, 0, "cannot be used")
		remount(t, dir, false)
		time.Sleep(time.Minute)
		log.wants(t, 1, "kept over a restart again")
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
	})
}

// What is there is read, once, and is as the cache has it when it can be written again.
func TestFileOnAReadOnlyDiskIsRead(t *testing.T) {
	dir := mount(t)
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "cache.db")
		c := newCache(t)
		k, _ := keep(t, path, c)
		k.TakeNotes(func() map[string][]byte { return map[string][]byte{"a": []byte("1"), "b": []byte("2")} })
		for i := range 3 {
			c.Own(nth(t, i), yes("mail1"))
		}
		k.Close()
		file, err := os.ReadFile(path)
		if err == nil { // as a machine leaves it that stops while it writes
			err = os.WriteFile(path, append(file, "half a frame"...), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		remount(t, dir, true)

		c = newCache(t)
		log, heard := &logbook{}, 0
		k = Start(path, c, slog.New(slog.NewTextHandler(log, nil)), func(notes map[string][]byte) func() {
			if heard++; string(notes["a"]) != "1" {
				t.Errorf("it hears %v", notes)
			}
			return func() { wantOwner(t, c, nth(t, 2), "mail1") }
		})
		k.Wait(patience)
		if got := k.Notes(); string(got["b"]) != "2" {
			t.Errorf("the notes are %v", got)
		}
		k.TakeNotes(func() map[string][]byte { return map[string][]byte{"a": []byte("3")} })
		for i := range 3 {
			wantOwner(t, c, nth(t, i), "mail1")
		}
		c.Own(nth(t, 1), yes("mail2"))
		c.Disown(nth(t, 2))
		c.Own(nth(t, 3), yes("mail2"))
		time.Sleep(time.Minute)
		if _, why := k.State(); why == nil {
			t.Error("it says that it keeps something")
		}
		log.wants(t, 1, "let the daemon's user write there")
		remount(t, dir, false)
		time.Sleep(time.Minute)
		log.wants(t, 1, "kept over a restart again")
		log.wants(t, 1, "memory is as it was")
		if k.Close(); heard != 1 {
			t.Errorf("the notes are heard %d times", heard)
		}
		c = newCache(t)
		k, _ = keep(t, path, c)
		for i, host := range []string{"mail1", "mail2", "", "mail2"} {
			wantOwner(t, c, nth(t, i), host)
		}
		if got := k.Notes(); len(got) != 1 || string(got["a"]) != "3" {
			t.Errorf("the notes are %v", got)
		}
		k.Close()
	})
}

// It stays, too, until it can be set aside.
func TestDamagedFileOnAReadOnlyDiskIsNotBelieved(t *testing.T) {
	dir := mount(t)
	path := filepath.Join(dir, "cache.db")
	whole := newPath(t)
	wellUsed(t, whole)
	file, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	file = file[:40_000]
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		remount(t, dir, true)
		c := newCache(t)
		k, log := keep(t, path, c)
		c.Own(nth(t, 0), yes("mail1"))
		time.Sleep(time.Minute)
		if owners, _ := c.Len(); owners != 1 {
			t.Errorf("%d owners", owners)
		}
		log.wants(t, 1, "memory begins empty\" file="+path+" why=\"is cut short")
		log.wants(t, 1, "let the daemon's user write there")
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, file) {
			t.Errorf("it has %d octets, and had %d; %v", len(got), len(file), err)
		}
		remount(t, dir, false)
		time.Sleep(time.Minute)
		log.wants(t, 1, "is set aside as "+path+".bad-")
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
	})
}

// Another daemon may write a file that this one may not: it is read when that one has
// ended, and what the next one writes is known when this one may write, too.
func TestFileThatOnlyAnotherMayWrite(t *testing.T) {
	dir := mount(t)
	at, end := readOnly(t, dir)
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(dir, "cache.db")
		noted := func(k *Keeper, note string) {
			k.TakeNotes(func() map[string][]byte { return map[string][]byte{note: []byte("1")} })
		}
		first, second := newCache(t), newCache(t)
		k, _ := keep(t, path, first)
		noted(k, "first")
		first.Own(nth(t, 0), yes("mail1"))
		time.Sleep(10 * time.Second)
		other, log := keep(t, filepath.Join(at, "cache.db"), second)
		noted(other, "second")
		second.Own(nth(t, 1), yes("mail2"))
		time.Sleep(time.Minute)
		wantOwner(t, second, nth(t, 0), "")
		log.wants(t, 1, "another postwhere has this file")
		k.Close()
		time.Sleep(time.Minute)
		wantOwner(t, second, nth(t, 0), "mail1")

		first = newCache(t)
		k, _ = keep(t, path, first)
		wantOwner(t, first, nth(t, 0), "mail1")
		wantOwner(t, first, nth(t, 1), "")
		noted(k, "third")
		first.Own(nth(t, 2), yes("mail3"))
		k.Close()
		end()
		time.Sleep(time.Minute)
		wantOwner(t, second, nth(t, 2), "mail3")
		other.Close()
		last := newCache(t)
		k, _ = keep(t, path, last)
		for i, host := range []string{"mail1", "mail2", "mail3"} {
			wantOwner(t, last, nth(t, i), host)
		}
		if got := k.Notes(); len(got) != 1 || string(got["second"]) != "1" {
			t.Errorf("the notes are %v", got)
		}
		k.Close()
	})
}
