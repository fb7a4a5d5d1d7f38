package disk

import (
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whenever the program is killed: an owner who is gone from the file is in doubt there.
func TestWhoIsGoneIsInDoubtInTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path, a := newPath(t), address(t, "anna@example.com")
		c := newCache(t)
		k, _ := keep(t, path, c)
		doubts := &atomic.Value{}
		doubts.Store("nobody")
		k.TakeNotes(func() map[string][]byte { return map[string][]byte{"doubts": []byte(doubts.Load().(string))} })
		c.Own(a, yes("mail1"))
		time.Sleep(3*noteEvery + 5*writeEvery/2) // they were asked for not long ago
		doubts.Store("anna")
		c.Disown(a)
		gone := false
		for range 2 * noteEvery / writeEvery {
			time.Sleep(writeEvery)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			killed := filepath.Join(t.TempDir(), "killed")
			if err := os.WriteFile(killed, file, 0o600); err != nil {
				t.Fatal(err)
			}
			then := newCache(t)
			at, _ := keep(t, killed, then)
			if gone = then.Recall(a, time.Now()).Owner.Host == ""; gone && string(at.Notes()["doubts"]) != "anna" {
				t.Fatalf("she is gone, and in doubt is %s", at.Notes()["doubts"])
			}
			at.Close()
		}
		if !gone {
			t.Error("she is in the file yet")
		}
		k.Close()
	})
}

// What reads the notes is told of them before the cache has an owner of the file, and of
// none where there is no file; and then, that the cache has all owners.
func TestNotesAreHeardBeforeTheOwners(t *testing.T) {
	path, a := newPath(t), address(t, "anna@example.com")
	c := newCache(t)
	k, _ := keep(t, path, c)
	k.TakeNotes(func() map[string][]byte { return map[string][]byte{"a": []byte("1")} })
	c.Own(a, yes("mail1"))
	k.Close()
	for file, want := range map[string]struct{ note, owner string }{path: {"1", "mail1"}, filepath.Join(path, "none"): {}} {
		c, heard, loaded := newCache(t), 0, 0
		k := Start(file, c, slog.New(slog.DiscardHandler), func(notes map[string][]byte) func() {
			if heard++; string(notes["a"]) != want.note {
				t.Errorf("%s: %v", file, notes)
			}
			wantOwner(t, c, a, "")
			return func() {
				loaded++
				wantOwner(t, c, a, want.owner)
			}
		})
		k.Wait(patience)
		k.Close()
		if heard != 1 || loaded != 1 {
			t.Errorf("%s: heard of %d times, loaded %d times", file, heard, loaded)
		}
	}
}
