package realhost

import "syscall"

// prSetChildSubreaper is PR_SET_CHILD_SUBREAPER, see prctl(2).
const prSetChildSubreaper = 36

// adoptOrphans makes this process the parent of daemons that its children leave
// behind, so that it can lay them to rest. In a container the first process
// often does not, and each server would leave some dead processes for good.
func adoptOrphans() {
	// Without it the tests still work, so an error is of no interest.
	_, _, _ = syscall.Syscall(syscall.SYS_PRCTL, prSetChildSubreaper, 1, 0)
}
