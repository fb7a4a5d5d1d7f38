package realhost

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// onOwnMachine is set, in the environment, where a test runs as if on a machine of
// its own.
const onOwnMachine = "POSTWHERE_OWN_MACHINE"

// machineScript lets a command see the system's folders as they are, but its changes
// go when it does; it has a loopback interface of its own, and no other, and no other
// processes. Its first argument is more of /etc/hosts, the rest the command.
const machineScript = `set -e
ip link set lo up
scratch=$(mktemp -d)
mount -t tmpfs none "$scratch"
for dir in /etc /var /run /usr/sbin /usr/local; do
	mkdir -p "$scratch$dir/upper" "$scratch$dir/work"
	mount -t overlay -o "lowerdir=$dir,upperdir=$scratch$dir/upper,workdir=$scratch$dir/work" none "$dir"
done
printf '%s\n' "$1" >>/etc/hosts
shift
exec "$@"`

// OwnMachine runs the test it is called by once more, as if on a machine of its own:
// nothing that it does to files in /etc, /var, /run, /usr/sbin and /usr/local stays,
// all ports are free, nothing but loopback can be reached, and every process that it
// leaves behind ends with it. hosts are names that it knows, as in hosts(5). It
// returns true there; to the test that called it, it returns false when that run has
// passed. It skips the test as [Need] does where root may not do that.
func OwnMachine(t *testing.T, hosts string) bool {
	t.Helper()
	if os.Getenv(onOwnMachine) == t.Name() {
		return true
	}
	Need(t, "ip", "unshare", "mount")
	command := func(ctx context.Context, argv ...string) *exec.Cmd {
		// The init of a process namespace takes all others with it, and unshare the init.
		own := []string{"--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c", machineScript, "machine", hosts}
		cmd := exec.CommandContext(ctx, "unshare", append(own, argv...)...)
		cmd.Env = append(os.Environ(), onOwnMachine+"="+t.Name())
		return cmd
	}
	if out, err := command(t.Context(), "true").CombinedOutput(); err != nil {
		giveUp(t, "root may not make a machine of its own here (CAP_SYS_ADMIN and overlay file systems are needed): %v: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	run := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	out, err := command(ctx, self, "-test.run="+run, "-test.v", "-test.timeout=170s", "-test.count=1").CombinedOutput()
	if err != nil || testing.Verbose() {
		t.Logf("on a machine of its own:\n%s", out)
	}
	if err != nil {
		t.Fatalf("on a machine of its own: %v", err)
	}
	return false
}
