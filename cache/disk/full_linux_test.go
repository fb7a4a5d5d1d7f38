package disk

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// mount mounts a file system of 64 kB in memory; the test is skipped where it may not.
func mount(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("postwhere", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFullDiskCostsTheFileOnly(t *testing.T) {
	dir := mount(t)
	synctest.Test(t, func(t *testing.T) {
		path, filler := filepath.Join(dir, "cache.db"), filepath.Join(dir, "filler")
		c := newCache(t)
		k, log := keep(t, path, c)
		c.Own(nth(t, 0), yes("mail1"))
		time.Sleep(3 * time.Second)
		_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much of it as there is room for
		// The page that the file ends in has room for some of them yet.
		for i := range 1000 {
			c.Own(nth(t, i+1), yes("mail2"))
		}
		time.Sleep(time.Minute)
		log.wants(t, 1, "make room on the disk")
		wantOwner(t, c, nth(t, 1000), "mail2")
		copied := newPath(t)
		file, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(copied, file, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		old, oldLog := reborn(t, copied) // what a daemon would find that was killed now
		wantOwner(t, old, nth(t, 0), "mail1")
		oldLog.wants(t, 0, "set aside")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		log.wants(t, 1, "kept over a restart again")
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
		for i := range 1000 {
			wantOwner(t, c, nth(t, i+1), "mail2")
		}
	})
}

// There is no room for a new file in place of the one that is set aside: the log
// says both.
func TestFileThatIsSetAsideOnAFullDisk(t *testing.T) {
	dir := mount(t)
	path, filler := filepath.Join(dir, "cache.db"), filepath.Join(dir, "filler")
	if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600)
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t)
		k, log := keep(t, path, c)
		c.Own(nth(t, 0), yes("mail1"))
		log.wants(t, 1, "make room on the disk")
		log.wants(t, 1, "is set aside as "+path+".bad-")
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
	})
}

// A limit of the process's (RLIMIT_FSIZE) in place of the disk's, which tears what
// is written: the file is as it was.
func TestWhatIsWrittenInPartIsTakenBack(t *testing.T) {
	path := newPath(t)
	wellUsed(t, path)
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := f.Size()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: uint64(before) + 5000, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	big := func(w *Writer) { w.Note("a", make([]byte, 20_000)) }
	failed, anew := f.Append(big), f.Rewrite(func(w *Writer) { w.Note("a", make([]byte, before+20_000)) })
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if failed == nil || anew == nil || f.Broken() {
		t.Fatalf("it was written: %v, %v; broken: %v", failed, anew, f.Broken())
	}
	if info, err := os.Stat(path); err != nil || info.Size() != before {
		t.Errorf("it has %d octets, and had %d; %v", info.Size(), before, err)
	}
	if err := f.Append(big); err != nil {
		t.Error(err)
	}
	_ = f.Close()
	again, err := Open(path)
	if err != nil || again.Aside != nil || len(again.Notes["a"]) != 20_000 {
		t.Fatalf("%v, %v", err, again.Aside)
	}
	_ = again.Close()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("there is %v, %v", entries, err)
	}
}
