package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
)

func TestSocketOfADeadProcessIsRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := removeDeadSocket(path); err == nil || err.Error() != path+" is in use: another postwhere answers there" {
		t.Errorf("a living one: %v", err)
	}
	_ = l.Close()
	if err := removeDeadSocket(path); err != nil {
		t.Errorf("a dead one: %v", err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("it is still there: %v", err)
	}
	if err := removeDeadSocket(path); err != nil {
		t.Errorf("none at all: %v", err)
	}
}

func TestWhatIsNoSocketIsNotRemoved(t *testing.T) {
	dir := t.TempDir()
	file, folder, link, pipe := filepath.Join(dir, "file"), filepath.Join(dir, "folder"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	for _, err := range []error{
		os.WriteFile(file, []byte("precious"), 0o600), os.Mkdir(folder, 0o700), os.Symlink(file, link), syscall.Mkfifo(pipe, 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{file, folder, link, pipe} {
		if err := removeDeadSocket(path); err == nil || err.Error() != path+" is there and is no socket: remove it or name another path" {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := listen(config.Listener{Network: "unix", Address: path}); err == nil {
			t.Errorf("%s: listened on", path)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSocketIsOpenToItsDirectorysGroupOnly(t *testing.T) {
	dir := t.TempDir()
	const group = 12345
	if err := os.Chown(dir, -1, group); err != nil {
		t.Skip("only root may give a file to any group")
	}
	path := filepath.Join(dir, "s")
	l, err := listen(config.Listener{Network: "unix", Address: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o660 {
		t.Errorf("permissions %o", got)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != group {
		t.Errorf("group %d", got)
	}
}

func TestListenSaysWhyItCannot(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	for _, c := range []struct {
		at   config.Listener
		want string
	}{
		{config.Listener{Network: "tcp", Address: busy.Addr().String()}, busy.Addr().String() + " is in use: does another postwhere run, or another program there? ("},
		{config.Listener{Network: "unix", Address: dir + "/none/s"}, "there is no directory " + dir + "/none: make it, and let the daemon's user write there"},
	} {
		if _, err := listen(c.at); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s…", c.at, err, c.want)
		}
	}
}

// All that was opened is closed again when one cannot be.
func TestListenersAreOpenedAllOrNone(t *testing.T) {
	dir := t.TempDir()
	cfg := testbed.Parse(t, `
[listen]
policy    = ["unix:`+dir+`/policy"]
milter    = []
socketmap = ["unix:`+dir+`/socketmap"]
control   = ["unix:`+dir+`/none/control"]
[[domain]]
name  = "example.com"
hosts = ["mail1"]
`)
	d := New(maillog.New(testbed.Log(t)))
	if err := d.Adopt(cfg); err == nil || !strings.HasPrefix(err.Error(), "listen.control unix:"+dir+"/none/control: there is no directory") {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
