package cache

import (
	"bufio"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"
)

// advised returns what the kernel was told of the memory where an address is.
func advised(t *testing.T, address uint64) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		first, rest, _ := strings.Cut(lines.Text(), " ")
		if from, to, ok := strings.Cut(first, "-"); ok {
			begin, _ := strconv.ParseUint(from, 16, 64)
			end, _ := strconv.ParseUint(to, 16, 64)
			inside = begin <= address && address < end
		} else if inside && first == "VmFlags:" {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("no memory at %x", address)
	return nil
}

func TestLargeTablesAreInHugePages(t *testing.T) {
	if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err != nil {
		return // nor are they anywhere on this machine
	}
	s := newStore(t, 1<<20, 0)
	s.rebuild(1 << 19)
	at := uint64(uintptr(unsafe.Pointer(&s.slots[len(s.slots)/2])))
	if flags := advised(t, at); !slices.Contains(flags, "hg") {
		t.Errorf("the kernel was told %v, want hg", flags)
	}
}
