package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postwhere/cache"
)

// wellUsed writes a file that has a snapshot, changes behind it, owners who moved,
// and some who are gone, and returns who has which host: "" is nobody.
func wellUsed(t testing.TB, path string) map[string]string {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	now, hosts := time.Now().Add(-time.Minute), make(map[string]string)
	own := func(w *Writer, i, turn int) {
		local, host := fmt.Sprintf("user%d", i), fmt.Sprintf("mail%d", turn)
		answer := yes(host)
		answer.At = now.Add(time.Duration(turn) * time.Second)
		w.Owned(cache.Entry{Name: cache.Name{Local: local, Domain: "example.com"}, Owner: answer})
		hosts[local] = host
	}
	err = f.Rewrite(func(w *Writer) {
		w.Note("a", []byte("first"))
		for i := range 3000 {
			own(w, i, 0)
		}
	})
	for turn := 1; turn <= 5 && err == nil; turn++ {
		err = f.Append(func(w *Writer) {
			w.Note("a", bytes.Repeat([]byte{byte(turn)}, 1000))
			for i := turn; i < 3000; i += 7 * turn {
				own(w, i, turn)
			}
			for i := 100 * turn; i < 100*turn+50; i++ {
				local := fmt.Sprintf("user%d", i)
				w.Gone(cache.Name{Local: local, Domain: "example.com"}, now.Add(time.Duration(turn)*time.Second))
				hosts[local] = ""
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return hosts
}

// damage is one thing that befalls a file.
func damage(t *rapid.T, file []byte) []byte {
	at := func() int {
		if rapid.Bool().Draw(t, "in the header") {
			return rapid.IntRange(0, headerSize-1).Draw(t, "at")
		}
		return rapid.IntRange(0, len(file)-1).Draw(t, "at")
	}
	switch rapid.IntRange(0, 5).Draw(t, "damage") {
	case 0:
		return file[:rapid.IntRange(0, len(file)).Draw(t, "size")]
	case 1:
		file[at()] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
	case 2:
		from := at()
		clear(file[from:min(from+rapid.IntRange(1, 8192).Draw(t, "zeros"), len(file))])
	case 3:
		page := at() &^ 4095
		clear(file[page:min(page+4096, len(file))])
	case 4: // a page is another's
		copy(file[at()&^4095:], bytes.Clone(file[at()&^4095:][:min(4096, len(file)-headerSize)]))
	case 5:
		return append(file, rapid.SliceOfN(rapid.Byte(), 1, 5000).Draw(t, "more")...)
	}
	return file
}

// Whatever befalls the file, the program starts, and believes all of it or nothing.
func TestDamagedFileIsBelievedAsAWholeOrNotAtAll(t *testing.T) {
	path := newPath(t)
	hosts := wellUsed(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged, believed := filepath.Join(t.TempDir(), "damaged.db"), 0
	rapid.Check(t, func(r *rapid.T) {
		file := bytes.Clone(whole)
		for range rapid.IntRange(1, 3).Draw(r, "times") {
			if file = damage(r, file); len(file) <= headerSize {
				break
			}
		}
		if err := os.WriteFile(damaged, file, 0o600); err != nil {
			r.Fatal(err)
		}
		c := newCache(t)
		k, _ := keep(t, damaged, c)
		if _, err := k.State(); err != nil {
			r.Fatalf("nothing is kept: %v", err)
		}
		k.Close()
		owners, _ := c.Len()
		if owners == 0 {
			return
		}
		believed++
		for local, want := range hosts {
			if got := c.Recall(address(t, local+"@example.com"), time.Now()).Owner.Host; got != want {
				r.Fatalf("%s is at %q, and was at %q", local, got, want)
			}
		}
	})
	if believed == 0 {
		t.Error("not one was believed: the test shows nothing")
	}
}

func TestFileThatIsNotOursIsSetAside(t *testing.T) {
	whole := func(t *testing.T) []byte {
		path := newPath(t)
		wellUsed(t, path)
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, f := range []struct {
		name, want string
		change     func([]byte) []byte
	}{
		{"foreign", "not a file of this program", func([]byte) []byte { return []byte("root:x:0:0:root:/root:/bin/sh\n") }},
		{"of a later version", "is of format 2", func(b []byte) []byte { b[len(magic)+3] = 2; return b }},
		{"half", "is cut short", func(b []byte) []byte { return b[:len(b)/2] }},
		{"the beginning of the magic", "is cut short", func(b []byte) []byte { return b[:5] }},
		{"without its last octet", "is cut short", func(b []byte) []byte { return b[:len(b)-1] }},
		{"a bit turned", "is damaged at octet", func(b []byte) []byte { b[len(b)/2] ^= 4; return b }},
		{"both marks gone", "is damaged in its header", func(b []byte) []byte { clear(b[markSpace : 3*markSpace]); return b }},
	} {
		t.Run(f.name, func(t *testing.T) {
			path := newPath(t)
			bad := f.change(whole(t))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			c, log := reborn(t, path)
			if owners, _ := c.Len(); owners != 0 {
				t.Errorf("%d owners", owners)
			}
			log.wants(t, 1, f.want)
			log.wants(t, 1, "is set aside as "+path+".bad-")
			aside, _ := filepath.Glob(path + ".bad-*")
			if len(aside) != 1 {
				t.Fatalf("set aside: %v", aside)
			}
			if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, bad) {
				t.Errorf("it is another now: %v", err)
			}
			_, log = reborn(t, path)
			log.wants(t, 0, "set aside")
		})
	}
}

func TestOnlyTheLastFileIsSetAside(t *testing.T) {
	path := newPath(t)
	for _, old := range []string{path + ".bad-20200101T000000Z", path + ".bad-20210101T000000Z", path + ".other", filepath.Dir(path) + "/.cache.db123"} {
		if err := os.WriteFile(old, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	reborn(t, path)
	var names []string
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if len(names) != 3 || names[0] != "cache.db" || !strings.HasPrefix(names[1], "cache.db.bad-2") || names[2] != "cache.db.other" {
		t.Errorf("there is %v", names)
	}
}

func TestWhatIsNoFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, "/dev/null"} {
		if f, err := Open(path); err == nil {
			_ = f.Close()
			t.Errorf("%s was opened", path)
		}
	}
}

func TestSymbolicLinkStaysOne(t *testing.T) {
	path := newPath(t)
	link := filepath.Join(t.TempDir(), "link")
	reborn(t, path)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	c := newCache(t)
	c.Own(nth(t, 1), yes("mail1"))
	k, _ := keep(t, link, c) // which writes the file anew
	k.Close()
	if info, err := os.Lstat(link); err != nil || info.Mode().Type() != os.ModeSymlink {
		t.Errorf("%v, %v", info, err)
	}
	c, _ = reborn(t, path)
	wantOwner(t, c, nth(t, 1), "mail1")
}

// What was written when the machine stopped, and came to the disk in part.
func TestLastSecondThatIsTornIsForgotten(t *testing.T) {
	path := newPath(t)
	hosts := wellUsed(t, path)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := appendFrame(nil, 1000, noteFrame("b", make([]byte, 300)))
	for n := range len(next) {
		if err := os.WriteFile(path, append(bytes.Clone(whole), next[:n]...), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil || f.Aside != nil || f.Size() != int64(len(whole)) || len(f.Notes) != 1 {
			t.Fatalf("%d octets: %v, %v, %d octets", n, err, f.Aside, f.Size())
		}
		_ = f.Close()
	}
	c, _ := reborn(t, path)
	for _, local := range []string{"user0", "user2999", "user100"} {
		wantOwner(t, c, address(t, local+"@example.com"), hosts[local])
	}
}

// What a frame has is read as it was written, or not at all; nothing makes the
// reader fail otherwise.
func FuzzFrame(f *testing.F) {
	entry := cache.Entry{Name: cache.Name{Local: "anna", Domain: "example.com"}, Owner: yes("mail1")}
	f.Add(appendOwned([]byte{frameOwners}, entry))
	f.Add(appendGone(appendOwned([]byte{frameOwners}, entry), entry.Name, time.Now()))
	f.Add(noteFrame("a", []byte("b")))
	f.Add([]byte{frameOwners, recordOwned, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		again := []byte{frameOwners}
		err := newDecoder().owners(payload, time.Unix(0, 0), func(c Change) {
			if c.Gone {
				again = appendGone(again, c.Name, c.At)
			} else {
				again = appendOwned(again, c.Entry)
			}
		})
		// Lengths may be written longer than need be.
		if err == nil && len(payload) > 0 && payload[0] == frameOwners && len(again) > len(payload) {
			t.Errorf("%q was read as %q", payload, again)
		}
		name, note, is, err := readNote(payload)
		if is && err == nil && len(noteFrame(name, note)) > len(payload) {
			t.Errorf("%q was read as note %q", payload, name)
		}
	})
}

// What a machine left that stopped while it wrote is cut off before anything is written.
func TestHalfAFrameAtTheEndIsCutOff(t *testing.T) {
	path := newPath(t)
	wellUsed(t, path)
	file, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, append(file, "half a frame"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, err := os.Stat(path); err != nil || info.Size() != int64(len(file)) || f.Size() != info.Size() {
		t.Errorf("it had %d octets, and has %v, %v", len(file), info, err)
	}
}
