package daemon

import (
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
)

// Clients that say nothing, or not all, are not waited for, and those beyond the limit
// get their turn.
func TestProvisioningWaitsForNobodyWhoIsSilent(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	socket := testbed.ShortDir(t) + "/p"
	startDaemon(t, strings.Replace(testbed.SiteText(mail1), "control   = []", "control = []\nprovisioning = [\"unix:"+socket+"\"]", 1)+
		"[limits]\nconnections = 2\nrequest_timeout = \"200ms\"\n")
	p := &testbed.Provisioner{Network: "unix", Address: socket}
	for _, begun := range []string{"", "POST /cache/flush HTTP/1.1\r\nHost: x\r\n"} {
		if _, err := io.WriteString(dialUnix(t, socket), begun); err != nil {
			t.Fatal(err)
		}
	}
	if a := p.Say(t, "POST /cache/flush HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"); a.Status != 408 {
		t.Errorf("%+v", a)
	}
	if a := p.Post(t, "?all", "", ""); a.Status != 200 {
		t.Errorf("%+v", a)
	}
}

// What is under way when the daemon ends is answered.
func TestProvisioningIsAnsweredWhileTheDaemonEnds(t *testing.T) {
	p := startProvisioned(t, "unix")
	conn := dialUnix(t, p.Address)
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
		ended <- p.d.Shutdown(ctx)
	}()
	if !realhost.Eventually(func() bool { _, err := os.Stat(p.Address); return err != nil }) {
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
