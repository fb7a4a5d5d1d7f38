package realhost

import (
	"os/exec"
	"testing"
)

// bind shows a directory at another place.
type bind struct{ dir, at string }

// bindScript runs a command that sees directories at other places: they are the
// arguments before "--", the command those after it. Nobody else sees them there,
// and they go with the last process that does.
const bindScript = `while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done; shift; exec "$@"`

// bound returns the command so that it sees the directories where it looks for
// them, for a server whose places are compiled in.
func bound(binds []bind, argv []string) []string {
	command := []string{"unshare", "--mount", "/bin/sh", "-c", bindScript, "bind"}
	for _, b := range binds {
		command = append(command, b.dir, b.at)
	}
	return append(append(command, "--"), argv...)
}

// needBind skips the test as [Need] does unless bound can do what it does, which
// root in a container often must not.
func needBind(t testing.TB) {
	t.Helper()
	Need(t, "unshare", "mount")
	command := bound([]bind{{"/", "/"}}, []string{"true"})
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		giveUp(t, "root may not mount anything here, even out of sight of others (CAP_SYS_ADMIN is needed): %v: %s", err, out)
	}
}
