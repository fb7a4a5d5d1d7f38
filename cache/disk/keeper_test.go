package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postwhere/cache"
)

func TestOwnerComesBackAsHeWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, a := newPath(t), address(t, "Anna@example.com")
		c := newCache(t)
		k, _ := keep(t, path, c)
		given := yes("mail1")
		c.Own(a, given)
		k.Close()
		time.Sleep(10 * time.Minute)

		c, log := reborn(t, path)
		got := c.Recall(address(t, "anna@EXAMPLE.com"), time.Now())
		if !got.Owner.At.Equal(given.At) {
			t.Errorf("he is of %v, and was of %v", got.Owner.At, given.At)
		}
		got.Owner.At = given.At
		if got.Owner != given || got.Stale {
			t.Errorf("got %+v, want %+v", got, given)
		}
		log.wants(t, 1, "memory is as it was")
	})
}

func TestAgesContinueOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, a := newPath(t), address(t, "anna@example.com")
		c := newCache(t)
		k, _ := keep(t, path, c)
		c.Own(a, yes("mail1"))
		time.Sleep(cache.DefaultRefresh / 2)
		k.Close()
		time.Sleep(cache.DefaultRefresh / 2)
		c, _ = reborn(t, path)
		if !c.Recall(a, time.Now()).Stale {
			t.Error("he is to be asked again, and is not stale")
		}
		time.Sleep(cache.DefaultExpire - cache.DefaultRefresh)
		wantOwner(t, c, a, "")
		c, _ = reborn(t, path)
		wantOwner(t, c, a, "")
	})
}

// The clock was set back while the program did not run, or the machine has none that goes
// on without power: everybody is known, and as old as when the file was written.
func TestClockSetBackLosesNobodyAndMakesNobodyYounger(t *testing.T) {
	path, early, late := newPath(t), address(t, "early@example.com"), address(t, "late@example.com")
	synctest.Test(t, func(t *testing.T) {
		c := newCache(t)
		k, _ := keep(t, path, c)
		c.Own(early, yes("mail1"))
		time.Sleep(2 * cache.DefaultRefresh)
		c.Own(late, yes("mail1"))
		k.Close()
	})
	synctest.Test(t, func(t *testing.T) { // at the time when the other began
		time.Sleep(time.Second)
		c, _ := reborn(t, path)
		wantOwner(t, c, early, "mail1")
		wantOwner(t, c, late, "mail1")
		if m := c.Recall(early, time.Now()); !m.Stale || time.Since(m.Owner.At) < 2*cache.DefaultRefresh {
			t.Errorf("%v old, stale: %v", time.Since(m.Owner.At), m.Stale)
		}
	})
}

// Each way in which an owner goes: none of them is there after a restart.
func TestWhoIsForgottenStaysForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		three := func(o *cache.Options) { o.Owners = 3 }
		c := newCache(t, three)
		k, _ := keep(t, path, c)
		for i := range 3 {
			c.Own(nth(t, i), yes("mail1"))
		}
		time.Sleep(5 * time.Second) // all are in the file
		c.Disown(nth(t, 2))
		c.Own(nth(t, 3), yes("mail1"))
		c.Own(nth(t, 4), yes("mail1")) // which pushes one out
		time.Sleep(5 * time.Second)
		k.Close()
		c, _ = reborn(t, path)
		for i, host := range []string{"", "mail1", "", "mail1", "mail1"} {
			wantOwner(t, c, nth(t, i), host)
		}
	})
}

func TestExpiredOwnerLeavesTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, a := newPath(t), address(t, "anna@example.com")
		c := newCache(t, func(o *cache.Options) { o.Refresh, o.Expire = time.Minute, time.Hour })
		k, _ := keep(t, path, c)
		c.Own(a, yes("mail1"))
		time.Sleep(time.Hour)
		wantOwner(t, c, a, "")
		k.Close()
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		there := false
		if err := f.Read(func(ch Change) { there = !ch.Gone }); err != nil || there {
			t.Errorf("%v, and he is there: %v", err, there)
		}
	})
}

func TestOwnerWhoMovesIsNotedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, a := newPath(t), address(t, "anna@example.com")
		c := newCache(t)
		k, _ := keep(t, path, c)
		for i := range 100 {
			c.Own(a, yes(fmt.Sprintf("mail%d", i)))
			time.Sleep(time.Millisecond)
		}
		k.Close()
		if info, err := os.Stat(path); err != nil || info.Size() > headerSize+200 {
			t.Errorf("%v, %v", info.Size(), err)
		}
		c, _ = reborn(t, path)
		wantOwner(t, c, a, "mail99")
	})
}

// However much changes, the file is not much larger than what there is to know.
func TestFileDoesNotGrowForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		c := newCache(t)
		k, _ := keep(t, path, c)
		const owners = 1000
		most := int64(0)
		for range 200 {
			for i := range owners {
				c.Own(nth(t, i), yes("mail1"))
			}
			time.Sleep(2 * time.Second)
			size, err := k.State()
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, size)
		}
		if want := int64(owners+owners/2+spareRecords+owners) * 60; most > want {
			t.Errorf("it grew to %d octets, want %d at most", most, want)
		}
		k.Close()
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, owners-1), "mail1")
	})
}

// More has changed than is noted: all is written.
func TestManyChangesAtOnceAreAllKept(t *testing.T) {
	path, n := newPath(t), 150_000
	c := newCache(t)
	k, _ := keep(t, path, c)
	for i := range n {
		c.Own(nth(t, i), yes("mail1"))
	}
	k.Close()
	c, _ = reborn(t, path)
	if owners, _ := c.Len(); owners != n {
		t.Errorf("%d owners, want %d", owners, n)
	}
}

// The file has more than the cache may hold: those who were asked for last stay,
// and the file is the smaller for it.
func TestSmallerCacheTakesTheLatest(t *testing.T) {
	path, n := newPath(t), 3000
	c := newCache(t)
	k, _ := keep(t, path, c)
	for i := range n {
		c.Own(nth(t, i), yes("mail1"))
	}
	k.Close()
	before, _ := os.Stat(path)
	c, _ = reborn(t, path, func(o *cache.Options) { o.Owners, o.Strangers = n/10, n/10 })
	if owners, _ := c.Len(); owners != n/10 {
		t.Errorf("%d owners", owners)
	}
	if after, _ := os.Stat(path); after.Size() > before.Size()/5 {
		t.Errorf("%d octets of %d", after.Size(), before.Size())
	}
}

// What is learnt while the file is read is newer than the file.
func TestLoadingOverwritesNothingNewer(t *testing.T) {
	path := newPath(t)
	c := newCache(t)
	k, _ := keep(t, path, c)
	for i := range 4 {
		c.Own(nth(t, i), yes("old"))
	}
	k.Close()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	c = newCache(t)
	c.Own(nth(t, 3), yes("new")) // before anybody watched
	w := c.Watch()
	c.Own(nth(t, 0), yes("new"))
	c.Disown(nth(t, 1))
	if err := f.Read(func(ch Change) { c.Restore(ch.Entry) }); err != nil {
		t.Fatal(err)
	}
	for i, host := range []string{"new", "", "old", "new"} {
		wantOwner(t, c, nth(t, i), host)
	}
	names, lost := w.Take()
	if got := len(names); got != 2 || lost {
		t.Errorf("noted: %v", slices.Collect(maps.Keys(names)))
	}
}

func TestNotesComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		k, _ := keep(t, path, newCache(t))
		notes := map[string][]byte{"a": []byte("1"), "b": []byte("2")}
		k.TakeNotes(func() map[string][]byte { return maps.Clone(notes) })
		time.Sleep(3 * noteEvery)
		delete(notes, "a")
		notes["c"] = make([]byte, 100_000)
		k.Close()
		k, _ = keep(t, path, newCache(t))
		if got := k.Notes(); len(got) != 2 || string(got["b"]) != "2" || len(got["c"]) != 100_000 {
			t.Errorf("got %v", got)
		}
		k.Close() // nobody gave new ones: the old ones stay
		k, _ = keep(t, path, newCache(t))
		if got := k.Notes(); len(got) != 2 {
			t.Errorf("got %v", got)
		}
	})
}

// What is purged is out of the file when Sync returns, also what the cache had not
// read yet.
func TestWhatIsPurgedIsOutOfTheFile(t *testing.T) {
	for _, p := range []cache.Purge{{Name: cache.Name{Local: "user00000001", Domain: "example.com"}}, {Domain: "example.com"}, {All: true}} {
		path := newPath(t)
		c := newCache(t)
		k, _ := keep(t, path, c)
		c.Own(nth(t, 1), yes("mail1"))
		k.Close()
		c = newCache(t)
		k = newKeeper(path, c, slog.New(slog.DiscardHandler)) // which has not read it yet
		c.Purge(p)
		go k.run()
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k.Close()
		wantOwner(t, c, nth(t, 1), "")
		if p.Name.Local == "" && bytes.Contains(file, []byte("user00000001")) {
			t.Errorf("%+v: it is in the file", p)
		}
		c, _ = reborn(t, path)
		wantOwner(t, c, nth(t, 1), "")
	}
}

func TestSyncTellsWhyNothingIsWritten(t *testing.T) {
	k, _ := keep(t, filepath.Join(newPath(t), "cache.db"), newCache(t))
	if err := k.Sync(t.Context()); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v", err)
	}
	k.Close()
	if err := k.Sync(t.Context()); err == nil {
		t.Error("it is said to be written")
	}
}
