package disk

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A daemon whose file was taken away makes a new one.
func TestFileThatIsTakenAwayIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		c := newCache(t)
		k, _ := keep(t, path, c)
		c.Own(nth(t, 0), yes("mail1"))
		time.Sleep(3 * time.Second)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
	})
}

func TestNextFileGetsWhatTheCacheHas(t *testing.T) {
	path, next := newPath(t), newPath(t)
	reborn(t, next)
	c := newCache(t)
	k, _ := keep(t, path, c)
	c.Own(nth(t, 0), yes("mail1"))
	k.Close()
	k, _ = keep(t, next, c)
	k.Close()
	c, _ = reborn(t, next)
	wantOwner(t, c, nth(t, 0), "mail1")
}

func TestSecondDaemonGoesWithout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		first, second := newCache(t), newCache(t)
		k, _ := keep(t, path, first)
		start := time.Now()
		other, log := keep(t, path, second)
		if took := time.Since(start); took > 2*lockWait {
			t.Errorf("its start took %v", took)
		}
		first.Own(nth(t, 0), yes("mail1"))
		second.Own(nth(t, 1), yes("mail2"))
		time.Sleep(time.Minute)
		log.wants(t, 1, "another postwhere has this file")
		k.Close()
		time.Sleep(time.Minute) // then it gets the file, and what is in it
		log.wants(t, 1, "kept over a restart again")
		wantOwner(t, second, nth(t, 0), "mail1")
		other.Close()
		c, _ := reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
		wantOwner(t, c, nth(t, 1), "mail2")
	})
}

func TestDirectoryThatIsNotThereCostsTheFileOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		path := filepath.Join(dir, "cache.db")
		c := newCache(t)
		k, log := keep(t, path, c)
		c.Own(nth(t, 0), yes("mail1"))
		time.Sleep(time.Minute)
		wantOwner(t, c, nth(t, 0), "mail1")
		log.wants(t, 1, "make the directory")
		if _, err := k.State(); err == nil {
			t.Error("it says that it keeps something")
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 0), "mail1")
	})
}

// A queue that nothing takes is bounded, and what it forgot is written later.
func TestChangesAreBoundedWhileTheDiskIsAway(t *testing.T) {
	path := filepath.Join(newPath(t), "cache.db") // in a directory that is not there
	c := newCache(t)
	k, _ := keep(t, path, c)
	for i := range 250_000 {
		c.Own(nth(t, i), yes("mail1"))
	}
	names, lost := k.changes.Take()
	if !lost || len(names) > 0 {
		t.Errorf("%d names, lost: %v", len(names), lost)
	}
}
