package realhost

import (
	"cmp"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

// UnpackedServers is the environment variable that names the folder in which
// packaging/test.sh keeps the servers that it unpacks, for Debian installs none
// of them beside Postfix. If it is not set that is /var/cache/postwhere-test.
const UnpackedServers = "POSTWHERE_SERVERS"

// unpacked is the folder of a Debian package that was unpacked, with what it
// needs, and not installed.
type unpacked string

// needUnpacked skips the test as [Need] does unless the package is unpacked and
// the users it insists on are there.
func needUnpacked(t testing.TB, name string, users ...string) unpacked {
	t.Helper()
	Need(t)
	p := unpacked(filepath.Join(cmp.Or(os.Getenv(UnpackedServers), "/var/cache/postwhere-test"), name))
	if _, err := os.Stat(string(p)); err != nil {
		giveUp(t, "%s is not there; packaging/test.sh unpacks it", p)
	}
	for _, name := range users {
		if _, err := user.Lookup(name); err != nil {
			giveUp(t, "%v; packaging/test.sh adds it", err)
		}
	}
	return p
}

// file returns the path of what the package would install as "/" + name.
func (p unpacked) file(name string) string { return filepath.Join(string(p), name) }

// libraryPath is the variable by which programs find libraries that are not
// where the system has its own, see ld.so(8).
const libraryPath = "LD_LIBRARY_PATH"

// command returns the command with the libraries of the package.
func (p unpacked) command(argv ...string) []string {
	libraries, _ := filepath.Glob(p.file("usr/lib/*-linux-*")) // only a bad pattern is an error
	return append([]string{"env", libraryPath + "=" + strings.Join(libraries, ":")}, argv...)
}
