package cache

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of one, at the least.
const hugePage = 2 << 20

// onHugePages asks the kernel to have a table in huge pages, together with what else of
// the heap is in them. In a table of hundreds of megabytes an entry is looked at sooner
// than it is found out where its page is, if that has 4 KB. It is advice, as madvise(2)
// says: where it is not taken, nothing is lost.
func onHugePages[T any](table []T) {
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(table)))
	end := begin + uintptr(len(table))*unsafe.Sizeof(table[0])
	if end-begin < hugePage/8 {
		return
	}
	begin, end = begin&^(hugePage-1), (end+hugePage-1)&^(hugePage-1)
	_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, unix.MADV_HUGEPAGE)
}
