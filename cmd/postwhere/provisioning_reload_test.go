package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// The daemon as a process, asked by a socket and over TCP, reloaded by SIGHUP with
// another token, and ended by SIGTERM.
func TestProvisioningOfAProcess(t *testing.T) {
	t.Parallel()
	mail1 := startOddHost(t, having("anna@example.com"))
	dir := shortDir(t)
	file := func(name, text string) {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file("token", goodToken)
	site := fmt.Sprintf("[cache]\nfile = \"memory\"\n[[domain]]\nname = \"example.com\"\nhosts = [\"mail1\"]\n[host.mail1]\nprobe = %q\n", mail1.address)
	one := startProgram(t, dir, "provisioning = [\"unix:"+dir+"/p\", \"inet:127.0.0.1:0\"]\n[provisioning]\ntoken_file = \"token\"\n"+site)
	socket := &provisioned{network: "unix", address: dir + "/p", auth: "Bearer " + goodToken}
	port := &provisioned{network: "tcp", address: one.log.listens(t, "provisioning", "127.0.0.1"), auth: socket.auth}
	for _, p := range []*provisioned{socket, port} {
		one.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		if a := p.post(t, "?address=anna@example.com", "", ""); a.status != 200 || !strings.Contains(a.body, `"owners":1,"strangers":0,"why":"","others":"none"`) {
			t.Errorf("%+v", a)
		}
	}
	if info, err := os.Stat(dir + "/p"); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v", info, err)
	}

	reload := func(want string) {
		t.Helper()
		before := one.log.count(want)
		if err := one.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if !realhost.Eventually(func() bool { return one.log.count(want) > before }) {
			t.Fatalf("the log has no %q", want)
		}
	}
	file("token", "another-0123456789")
	reload("msg=reloaded")
	if a := port.post(t, "?all", "", ""); a.status != 401 {
		t.Errorf("with the former token: %+v", a)
	}
	port.auth = "Bearer another-0123456789"
	if a := port.post(t, "?all", "", ""); a.status != 200 {
		t.Errorf("with the new token: %+v", a)
	}
	file("token", "short")
	reload("reload failed")
	if a := port.post(t, "?all", "", ""); a.status != 200 {
		t.Errorf("after a reload that failed: %+v", a)
	}
	file("postwhere.toml", "[listen]\npolicy = []\nmilter = []\nsocketmap = []\ncontrol = [\"unix:"+dir+"/control\"]\n"+site)
	reload("msg=reloaded")
	if _, err := net.DialTimeout("tcp", port.address, time.Second); err == nil {
		t.Error("it listens yet")
	}
	if _, err := os.Stat(dir + "/p"); err == nil {
		t.Error("the socket is there yet")
	}
	if err := one.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !realhost.Eventually(func() bool { return one.log.logged("msg=stopped") }) {
		t.Error("it does not end")
	}
}

// listens waits until the log says where a face listens, at an address that begins so.
func (r *recorder) listens(t *testing.T, face, begin string) (address string) {
	t.Helper()
	if !realhost.Eventually(func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, m := range listening.FindAllStringSubmatch(r.log.String(), -1) {
			if m[1] == face && strings.HasPrefix(m[2], begin) {
				address = m[2]
			}
		}
		return address != ""
	}) {
		t.Fatalf("%s does not listen", face)
	}
	return address
}

// A listener that others reach asks for a token, also in the moment in which a reload
// has taken the token away and the listener is not closed yet.
func TestListenerForOthersWantsATokenThatThereIsNot(t *testing.T) {
	p := startProvisioned(t, "unix")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/cache/flush?all", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[config.Listener]bool{
		{Network: "tcp", Address: "0.0.0.0:1"}: false, {Network: "tcp", Address: "127.0.0.1:1"}: true, {Network: "unix", Address: "/p"}: true,
	} {
		for _, auth := range []string{"", "Bearer", "Bearer "} {
			request.Header.Set("Authorization", auth)
			if got := (&provisioning{daemon: p.d, at: at}).permits(request); got != want {
				t.Errorf("%s, %q: %v", at, auth, got)
			}
		}
	}
}

// Clients that say nothing, or not all, are not waited for, and those beyond the limit
// get their turn.
func TestProvisioningWaitsForNobodyWhoIsSilent(t *testing.T) {
	mail1 := startOddHost(t, having("anna@example.com"))
	socket := shortDir(t) + "/p"
	d, _ := startDaemon(t, strings.Replace(siteText(mail1), "control   = []", "control = []\nprovisioning = [\"unix:"+socket+"\"]", 1)+
		"[limits]\nconnections = 2\nrequest_timeout = \"200ms\"\n")
	p := &provisioned{d: d, network: "unix", address: socket}
	for _, begun := range []string{"", "POST /cache/flush HTTP/1.1\r\nHost: x\r\n"} {
		if _, err := io.WriteString(dialUnix(t, socket), begun); err != nil {
			t.Fatal(err)
		}
	}
	if a := p.say(t, "POST /cache/flush HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); a.status != 408 {
		t.Errorf("%+v", a)
	}
	if a := p.post(t, "?all", "", ""); a.status != 200 {
		t.Errorf("%+v", a)
	}
}

// What is under way when the daemon ends is answered.
func TestProvisioningIsAnsweredWhileTheDaemonEnds(t *testing.T) {
	p := startProvisioned(t, "unix")
	conn := dialUnix(t, p.address)
	if _, err := io.WriteString(conn, "POST /cache/flush HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	hear := func(want string) {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		heard := make([]byte, len(want))
		if _, err := io.ReadFull(conn, heard); err != nil || string(heard) != want {
			t.Fatalf("%q, %v", heard, err)
		}
	}
	hear("HTTP/1.1 100 Continue\r\n\r\n") // so that it is read
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		ended <- p.d.shutdown(ctx)
	}()
	if !realhost.Eventually(func() bool { _, err := os.Stat(p.address); return err != nil }) {
		t.Error("it listens yet")
	}
	if _, err := io.WriteString(conn, `{"all":true}`); err != nil {
		t.Fatal(err)
	}
	hear("HTTP/1.1 200 OK\r\n")
	_ = conn.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon does not end")
	}
}
