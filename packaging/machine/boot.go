package machine

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startScript starts a machine, says which process is the parent of its first one,
// and ends it when its standard input closes. Its arguments: a folder, what runs
// first, and the control group that systemd is to have, if it is not empty.
const startScript = `
dir=$1 first=$2 group=$3
if [ -n "$group" ]; then
	mkdir "$group" || exit
fi
# The machine is in that group, this shell is not. What it says goes to our stderr.
sh -c '
	[ -z "$3" ] || echo $$ >"$3/cgroup.procs" || exit
	exec unshare --kill-child=KILL --mount --propagation private --pid --fork --cgroup --uts --ipc --net \
		/bin/sh -c "$4" boot "$1" "$2"
' start "$dir" "$first" "$group" "$BOOT" </dev/null >&2 &
echo $!
read -r _
kill -KILL $!
wait $!
# A control group is gone when its last process is.
if [ -n "$group" ]; then
	for again in 1 2 3 4 5 6 7 8 9 10; do
		find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null
		[ -e "$group" ] || break
		sleep 0.1
	done
fi
`

// bootScript is the first process, until it becomes what it is to be. Its arguments:
// a folder, and what runs first. What it mounts nobody else sees, and goes with it.
const bootScript = `
set -e
root=$1/root
mkdir -p "$root" "$1/copy"
mount -t tmpfs -o mode=755 tmpfs "$1/copy"
mkdir "$1/copy/files" "$1/copy/work"
mount -t overlay -o "lowerdir=/,upperdir=$1/copy/files,workdir=$1/copy/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
	: >"$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir "$root/run/old" "$root/run/lock"
cd "$root"
pivot_root . run/old
umount -l /run/old
rmdir /run/old
# What this machine's administrator has of postwhere is not the test's.
dpkg --purge postwhere >/dev/null 2>&1 || :
rm -rf /etc/postwhere /var/lib/postwhere
rm -f /usr/sbin/policy-rc.d
ip link set lo up
: >/run/machine
if [ "$2" = systemd ]; then
	exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target
fi
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
exec sleep infinity
`

// ownGroup returns a control group (version 2) that is not there yet, for a machine.
func ownGroup(t testing.TB) string {
	t.Helper()
	mounts, err := os.Open("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Close()
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	var within string
	for line := range strings.Lines(string(own)) {
		if path, is := strings.CutPrefix(line, "0::"); is {
			within = strings.TrimSpace(path)
		}
	}
	for in := bufio.NewScanner(mounts); in.Scan(); {
		if f := strings.Fields(in.Text()); len(f) > 2 && f[2] == "cgroup2" {
			return filepath.Join(f[1], within, filepath.Base(t.TempDir())+"-"+strings.ReplaceAll(t.Name(), "/", "-"))
		}
	}
	giveUp(t, "there are no control groups of version 2 here, which systemd needs")
	return ""
}
