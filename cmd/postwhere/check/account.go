package check

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postwhere/cmd/postwhere/config"
)

// account is the daemon's user, as packages and the unit have it.
const account = "postwhere"

// asDaemon has a process of the daemon's user look at what the daemon needs: to root all
// files are open.
func (k *checkup) asDaemon(ctx context.Context) {
	as, ok := k.daemonsUser(ctx)
	if os.Geteuid() != 0 || !ok || as.Uid == 0 {
		return
	}
	self, err := os.Executable()
	if there := "/proc/self/exe"; err != nil || exists(there) {
		self = there // whoever may not enter its folder may run it nevertheless
	}
	file, err := filepath.Abs(k.file)
	if err != nil {
		return
	}
	cmd := exec.CommandContext(ctx, self, "check", "--as-daemon", "-c", file) //nolint:gosec // this very program
	cmd.Args[0], cmd.Dir = os.Args[0], "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &as}
	said, err := cmd.Output()
	var failed *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &failed) && len(said) > 0:
		k.failed = true
	default:
		k.note("configuration", "cannot be looked at as the daemon's user: %v", err)
	}
	k.unkept = bytes.Contains(said, []byte(" memory: "))
	_, _ = k.out.Write(said)
}

// daemonsUser returns as whom the daemon runs, or is to.
func (k *checkup) daemonsUser(ctx context.Context) (as syscall.Credential, ok bool) {
	if control := k.cfg.Listen.Control; len(control) > 0 {
		if as, ok = runningAs(ctx, control[0].Address); ok {
			return as, true
		}
	}
	u, err := user.Lookup(account)
	if err != nil || k.file != config.DefaultFile { // the unit's
		return as, false
	}
	groups, _ := u.GroupIds()
	ids := numbers([]string{u.Uid, u.Gid})
	if len(ids) < 2 {
		return as, false
	}
	return syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: numbers(groups)}, true
}

func numbers(texts []string) []uint32 {
	var all []uint32
	for _, text := range texts {
		if n, err := strconv.ParseUint(text, 10, 32); err == nil {
			all = append(all, uint32(n))
		}
	}
	return all
}

// AsDaemon is the part of All that a process of the daemon's user does: whether it can
// read the configuration with all that this names, and write where memory is kept.
func AsDaemon(out io.Writer, file string) (fine bool) {
	k := &checkup{out: out}
	who := "the user " + strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		who = "the user " + u.Username
	}
	cfg, err := config.Load(file)
	if err != nil {
		k.fail("configuration", "is of no use to %s, as whom the daemon runs: %s", who, strings.ReplaceAll(err.Error(), "\n", "; "))
		return false
	}
	if err := writable(cfg.Cache.File); err != nil {
		k.note("memory", "cannot be kept over a restart in %s by %s, as whom the daemon runs: %v", cfg.Cache.File, who, err)
	}
	return true
}

// writable tells why memory cannot be kept in a file, nil if it can. Each new file there
// takes the place of the one before it.
func writable(file string) error {
	if file == "" {
		return nil
	}
	if target, err := filepath.EvalSymlinks(file); err == nil {
		file = target
	}
	dir := filepath.Dir(file)
	err := unix.Access(dir, unix.W_OK|unix.X_OK)
	if err == nil && exists(file) {
		dir, err = file, unix.Access(file, unix.R_OK|unix.W_OK)
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) && file == config.DefaultCacheFile { // its folder is the unit's to make
		return nil
	}
	return &fs.PathError{Op: "write", Path: dir, Err: err}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
