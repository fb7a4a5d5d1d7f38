package testbed

import (
	"bytes"
	"os"
	"testing"

	"postwhere/packaging/realhost"
)

// ShortDir returns a folder for sockets, whose paths have to be short.
func ShortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "postwhere")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// WaitKept waits until the file has all of some texts.
func WaitKept(t *testing.T, file string, texts ...string) {
	t.Helper()
	if !realhost.Eventually(func() bool {
		kept, _ := os.ReadFile(file)
		for _, text := range texts {
			if !bytes.Contains(kept, []byte(text)) {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("%s has not %q", file, texts)
	}
}
