package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/maillog"
	"postwhere/cmd/postwhere/testbed"
)

func TestInheritedSocketIsFoundByNameAndAddress(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	policy, at := testbed.HandOver(t, "policy", "tcp", "127.0.0.1:0")
	milter, _ := testbed.HandOver(t, "milter", "unix", path)
	in, err := inherit([]*os.File{policy, milter})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	_, port, _ := net.SplitHostPort(at)
	for _, tt := range []struct {
		name string
		at   config.Listener
		want bool
	}{
		{"policy", config.Listener{Network: "tcp", Address: at}, true},
		{"policy", config.Listener{Network: "tcp", Address: "localhost:" + port}, true},
		{"policy", config.Listener{Network: "tcp", Address: "[::ffff:127.0.0.1]:" + port}, true},
		{"milter", config.Listener{Network: "unix", Address: path}, true},
		{"milter", config.Listener{Network: "tcp", Address: at}, false},
		{"policy", config.Listener{Network: "unix", Address: path}, false},
		{"policy", config.Listener{Network: "tcp", Address: "127.0.0.2:" + port}, false},
		{"policy", config.Listener{Network: "tcp", Address: "127.0.0.1:1"}, false},
		{"policy", config.Listener{Network: "tcp", Address: "nowhere.invalid:" + port}, false},
		{"milter", config.Listener{Network: "unix", Address: path + "/s"}, false},
		{"control", config.Listener{Network: "unix", Address: path}, false},
	} {
		for range 2 { // it can be had again and again
			l, err := in.listener(tt.name, tt.at)
			if err != nil || (l != nil) != tt.want {
				t.Errorf("%s %s: got %v, %v", tt.name, tt.at, l, err)
			}
			if l != nil {
				_ = l.Close()
			}
		}
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("systemd's socket is gone with a listener: %v", err)
	}
}

func TestWhatIsNoListenerIsNotInherited(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	defer r.Close()
	in, err := inherit([]*os.File{testbed.Rename(t, r, "policy")})
	if err == nil || err.Error() != "policy: not a stream socket that listens" || len(in.sockets) > 0 {
		t.Errorf("got %d, %v", len(in.sockets), err)
	}
}

// adoptsInherited is a daemon that has been handed over sockets, and runs by text.
func adoptsInherited(t *testing.T, text string, files ...*os.File) (*Daemon, *testbed.Recorder) {
	t.Helper()
	r := &testbed.Recorder{}
	d := New(maillog.New(r))
	in, err := inherit(files)
	if err != nil {
		t.Fatal(err)
	}
	d.inherited = in
	t.Cleanup(func() { _ = d.Shutdown(t.Context()) })
	reloads(t, d, text)
	return d, r
}

func TestReloadLetsGoOfAnInheritedSocketAndTakesItBack(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	file, at := testbed.HandOver(t, "policy", "tcp", "127.0.0.1:0")
	with, without := testbed.ListenText(mail1, `policy = ["inet:`+at+`"]`), testbed.ListenText(mail1, `policy = ["inet:127.0.0.1:0"]`)
	d, r := adoptsInherited(t, with, file)
	for range 2 {
		if got := <-askPolicy(t, d); got != "action=DUNNO" {
			t.Errorf("told %s", got)
		}
		reloads(t, d, without)
		if d.AddressOf("policy") == at {
			t.Error("still listening there")
		}
		reloads(t, d, with)
		if d.AddressOf("policy") != at {
			t.Errorf("listening on %s", d.AddressOf("policy"))
		}
	}
	if n := r.Count(`systemd listens here and [listen] does not, so nobody answers: let policy name it, or disable the socket unit" name=policy on=` + at); n != 2 {
		t.Errorf("warned %d times", n)
	}
}

func TestSocketOfAnUnknownNameIsTold(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	file, _ := testbed.HandOver(t, "postwhere.socket", "tcp", "127.0.0.1:0")
	_, r := adoptsInherited(t, testbed.ListenText(mail1, `policy = ["inet:127.0.0.1:0"]`), file)
	if !r.Logged("FileDescriptorName= is one of policy, milter, socketmap, control, provisioning, tcp_table") {
		t.Error("not told")
	}
}

// The address is taken, and by whom is clear.
func TestSocketOfAnotherNameIsNoListener(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	file, at := testbed.HandOver(t, "milter", "tcp", "127.0.0.1:0")
	d := New(maillog.New(testbed.Log(t)))
	in, err := inherit([]*os.File{file})
	if err != nil {
		t.Fatal(err)
	}
	d.inherited = in
	defer in.close()
	err = d.Adopt(testbed.Parse(t, testbed.ListenText(mail1, `policy = ["inet:`+at+`"]`)))
	if err == nil || !strings.HasSuffix(err.Error(), `systemd listens there for "milter": let its socket unit say FileDescriptorName=policy`) {
		t.Errorf("got %v", err)
	}
}

// Who would listen on all addresses of the machine is told what is in the way.
func TestSocketOfOneAddressIsInTheWayOfAllAddresses(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	file, at := testbed.HandOver(t, "policy", "tcp", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(at)
	d := New(maillog.New(testbed.Log(t)))
	in, err := inherit([]*os.File{file})
	if err != nil {
		t.Fatal(err)
	}
	d.inherited = in
	defer in.close()
	err = d.Adopt(testbed.Parse(t, testbed.ListenText(mail1, `policy = ["inet:0.0.0.0:`+port+`"]`)))
	if err == nil || !strings.Contains(err.Error(), "systemd listens at "+at+": let the socket unit have the address that [listen] has, or disable it") {
		t.Errorf("got %v", err)
	}
}
