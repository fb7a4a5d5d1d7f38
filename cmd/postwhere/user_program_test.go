package main

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cache/disk"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// service is a folder that another user than root owns, with a configuration there.
type service struct {
	dir, file string
	as        syscall.Credential
}

func newService(t *testing.T, text string) *service {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	dir := testbed.ShortDir(t)
	s := &service{dir: dir, file: dir + "/postwhere.toml", as: syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	text = "[listen]\npolicy = []\nmilter = []\nsocketmap = []\ncontrol = [\"unix:" + dir + "/control\"]\n" + text
	if err := os.WriteFile(s.file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the daemon as a user, and returns how it is ended.
func (s *service) start(t *testing.T, as *syscall.Credential) (log *testbed.Recorder, end func()) {
	t.Helper()
	log = &testbed.Recorder{}
	// By this path also who may not enter the folder of the program can run it.
	cmd := exec.Command("/proc/self/exe", "serve", "-c", s.file)
	cmd.Args[0], cmd.Dir, cmd.Stderr = "postwhere", "/", log
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	t.Cleanup(end)
	if !realhost.Eventually(func() bool { return log.Logged("msg=started") }) {
		t.Fatal("the daemon did not start:\n" + log.Text())
	}
	return log, end
}

// check runs check as root.
func (s *service) check(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("postwhere", "-c", s.file, "check")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10")
	out, _ := cmd.CombinedOutput() // its status says that the host cannot be reached
	return string(out)
}

const siteOfService = "[[domain]]\nname = \"example.com\"\nhosts = [\"127.0.0.1:1\"]\n"

func TestMemoryOfADaemonThatRootHasRunIsTheServices(t *testing.T) {
	t.Parallel()
	s := newService(t, siteOfService+"[cache]\nfile = \"cache.db\"\n")
	_, end := s.start(t, nil)
	end()
	info, err := os.Stat(filepath.Join(s.dir, "cache.db"))
	if err != nil || info.Sys().(*syscall.Stat_t).Uid != s.as.Uid {
		t.Fatalf("%v, %v", info, err)
	}
	log, _ := s.start(t, &s.as)
	if out := s.check(t); strings.Contains(out, "memory") || log.Logged("memory is not kept") {
		t.Errorf("it is not kept: %s\n%s", out, log.Text())
	}
}

// It is a file that root has copied there, and its host is down.
func TestMemoryThatTheServiceMayNotWriteIsRead(t *testing.T) {
	t.Parallel()
	s := newService(t, siteOfService+"[cache]\nfile = \"cache.db\"\n")
	path := filepath.Join(s.dir, "cache.db")
	f, err := disk.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Rewrite(func(w *disk.Writer) {
		w.Owned(cache.Entry{
			Name:  cache.Name{Local: "anna", Domain: "example.com"},
			Owner: policy.Answer{Host: "127.0.0.1:1", Says: policy.Yes, At: time.Now()},
		})
	})
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	chown(t, path, 0)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s.start(t, &s.as)
	for args, want := range map[string]string{
		"query anna@example.com": "\tdeliver\t127.0.0.1:1\t",
		"cache stats":            "nothing in " + path + " now: open " + path + ": permission denied",
		"check":                  "note  memory: ",
	} {
		cmd := exec.Command("postwhere", append([]string{"-c", s.file}, strings.Fields(args)...)...)
		cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=10")
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("%s: want %q:\n%s", args, want, out)
		}
	}
}

// Root can read and write everything.
func TestCheckLooksAsTheDaemonsUser(t *testing.T) {
	t.Parallel()
	s := newService(t, siteOfService+"[cache]\nfile = \"cache.db\"\n[host.\"127.0.0.1:1\"]\ntls = \"verify\"\nuser = \"me\"\nsecret_file = \"secret\"\ntls_ca_file = \"ca\"\n")
	authority, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Skip(err)
	}
	for name, text := range map[string][]byte{"secret": []byte("hush\n"), "ca": authority} {
		if err := os.WriteFile(s.dir+"/"+name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(s.dir+"/"+name, int(s.as.Uid), -1); err != nil {
			t.Fatal(err)
		}
	}
	s.start(t, &s.as)
	if out := s.check(t); strings.Contains(out, "as whom the daemon runs") {
		t.Errorf("the daemon's user has all, and it is said:\n%s", out)
	}
	for name, want := range map[string]string{
		"secret": `FAIL  configuration: is of no use to the user nobody, as whom the daemon runs: ` + s.file + `: host "127.0.0.1:1": secret_file: open ` + s.dir + `/secret: permission denied`,
		"ca":     `FAIL  configuration: is of no use to the user nobody, as whom the daemon runs: ` + s.file + `: host "127.0.0.1:1": tls_ca_file: open ` + s.dir + `/ca: permission denied`,
	} {
		chown(t, s.dir+"/"+name, 0)
		if out := s.check(t); !strings.Contains(out, want) {
			t.Errorf("want %q:\n%s", want, out)
		}
		chown(t, s.dir+"/"+name, int(s.as.Uid))
	}
	chown(t, s.dir, 0)
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, want := s.check(t), "note  memory: cannot be kept over a restart in "+s.dir+"/cache.db by the user nobody, as whom the daemon runs: write "+s.dir+": permission denied"; !strings.Contains(out, want) {
		t.Errorf("want %q:\n%s", want, out)
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Chown(path, uid, -1); err != nil {
		t.Fatal(err)
	}
}
