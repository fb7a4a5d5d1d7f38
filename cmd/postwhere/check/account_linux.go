package check

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// runningAs returns as whom the process runs that listens at a Unix socket. Its groups
// are more than those of the user, if its unit says SupplementaryGroups.
func runningAs(ctx context.Context, path string) (as syscall.Credential, ok bool) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return as, false
	}
	defer conn.Close()
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return as, false
	}
	var peer *unix.Ucred
	if raw.Control(func(fd uintptr) {
		peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) //nolint:gosec // a descriptor is small
	}) != nil || err != nil {
		return as, false
	}
	as.Uid, as.Gid = peer.Uid, peer.Gid
	status, _ := os.ReadFile("/proc/" + strconv.Itoa(int(peer.Pid)) + "/status")
	for line := range strings.Lines(string(status)) {
		if groups, is := strings.CutPrefix(line, "Groups:"); is {
			as.Groups = numbers(strings.Fields(groups))
		}
	}
	return as, true
}
