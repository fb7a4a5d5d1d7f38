package realhost

import (
	_ "embed"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// clockSource is a library that has a program see the time of day off by the seconds
// in the file that POSTWHERE_CLOCK names. Debian's faketime does not get along with the
// allocator that the programs of [RedisKind] use.
//
//go:embed testdata/clock.c
var clockSource []byte

// clockFile is the name in [Server.Dir] of the file.
const clockFile = "clock"

// clockCommand returns the command as one whose clock can be set, and builds the library
// into a directory.
func clockCommand(t testing.TB, dir string, argv []string) []string {
	t.Helper()
	Need(t, "gcc")
	source, library := filepath.Join(dir, "clock.c"), filepath.Join(dir, "clock.so")
	if err := os.WriteFile(source, clockSource, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-O2", "-shared", "-fPIC", "-o", library, source).CombinedOutput(); err != nil {
		t.Fatalf("realhost: gcc: %v: %s", err, out)
	}
	file := filepath.Join(dir, clockFile)
	if err := os.WriteFile(file, make([]byte, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	return append([]string{"env", "LD_PRELOAD=" + library, "POSTWHERE_CLOCK=" + file}, argv...)
}

// SetClock has the server's clock differ from this machine's from now on. It is to be
// started by [RedisKind.StartWithClock].
func (r *RedisServer) SetClock(t testing.TB, ahead time.Duration) {
	t.Helper()
	file, err := os.OpenFile(filepath.Join(r.Dir(), clockFile), os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(int64(ahead/time.Second))), 0) //nolint:gosec // two's complement
		_ = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}
