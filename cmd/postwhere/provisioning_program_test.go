package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// The daemon as a process, asked by a socket and over TCP, reloaded by SIGHUP with
// another token, and ended by SIGTERM.
func TestProvisioningOfAProcess(t *testing.T) {
	t.Parallel()
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	dir := testbed.ShortDir(t)
	file := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("token", testbed.GoodToken)
	site := fmt.Sprintf("[cache]\nfile = \"memory\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = %q\n", mail1.Address)
	one := startProgram(t, dir, "provisioning = [\"unix:"+dir+"/p\", \"inet:127.0.0.1:0\"]\n[provisioning]\ntoken_file = \"token\"\n"+site)
	socket := &testbed.Provisioner{Network: "unix", Address: dir + "/p", Auth: "Bearer " + testbed.GoodToken}
	port := &testbed.Provisioner{Network: "tcp", Address: one.log.Listens(t, "provisioning", "127.0.0.1"), Auth: socket.Auth}
	for _, p := range []*testbed.Provisioner{socket, port} {
		one.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		if a := p.Post(t, "?address=anna@example.com", "", ""); a.Status != 200 || !strings.Contains(a.Body, `"owners":1,"strangers":0,"why":"","others":"none"`) {
			t.Errorf("%+v", a)
		}
	}
	if info, err := os.Stat(dir + "/p"); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v", info, err)
	}

	reload := func(want string) {
		t.Helper()
		before := one.log.Count(want)
		if err := one.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if !realhost.Eventually(func() bool { return one.log.Count(want) > before }) {
			t.Fatalf("the log has no %q", want)
		}
	}
	file("token", "another-0123456789")
	reload("msg=reloaded")
	if a := port.Post(t, "?all", "", ""); a.Status != 401 {
		t.Errorf("with the former token: %+v", a)
	}
	port.Auth = "Bearer another-0123456789"
	if a := port.Post(t, "?all", "", ""); a.Status != 200 {
		t.Errorf("with the new token: %+v", a)
	}
	file("token", "short")
	reload("reload failed")
	if a := port.Post(t, "?all", "", ""); a.Status != 200 {
		t.Errorf("after a reload that failed: %+v", a)
	}
	file("postwhere.toml", "[listen]\npolicy = []\nmilter = []\nsocketmap = []\ncontrol = [\"unix:"+dir+"/control\"]\n"+site)
	reload("msg=reloaded")
	if _, err := net.DialTimeout("tcp", port.Address, time.Second); err == nil {
		t.Error("it listens yet")
	}
	if _, err := os.Stat(dir + "/p"); err == nil {
		t.Error("the socket is there yet")
	}
	if err := one.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !realhost.Eventually(func() bool { return one.log.Logged("msg=stopped") }) {
		t.Error("it does not end")
	}
}
