package daemon

import (
	"bufio"
	"context"
	"io"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/cmd/postwhere/control"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// heldDaemon is a daemon of which mail1 answers nothing until the gate is open.
func heldDaemon(t *testing.T) (d *Daemon, r *testbed.Recorder, g *testbed.Gate, text string) {
	t.Helper()
	g = testbed.NewGate()
	t.Cleanup(g.Pass)
	text = testbed.SiteText(testbed.StartHost(t, g.Before(testbed.Having("anna@example.com")))) + "[search]\ndeadline = \"4m\"\n"
	d, r = startDaemon(t, text)
	return d, r, g, text
}

// askPolicy sends a request and returns what becomes of it.
func askPolicy(t *testing.T, d *Daemon) <-chan string {
	t.Helper()
	conn := dialTCP(t, d.AddressOf("policy"))
	if _, err := io.WriteString(conn, "request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient=anna@example.com\n\n"); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	go func() {
		action, err := testbed.ReadAction(bufio.NewReader(conn))
		if err != nil {
			action = "nothing"
		}
		told <- action
	}()
	return told
}

// endsAtOnce shuts a daemon down that has no time left.
func endsAtOnce(t *testing.T, d *Daemon) error {
	t.Helper()
	over, cancel := context.WithCancel(context.Background())
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- d.Shutdown(over) }()
	select {
	case err := <-ended:
		return err
	case <-time.After(15 * time.Second): // less than it has when there is time
		t.Fatal("the daemon does not end")
		return nil
	}
}

func TestShutdownAnswersWhatIsUnderWay(t *testing.T) {
	d, r, g, _ := heldDaemon(t)
	told := askPolicy(t, d)
	<-g.Reached
	draining := make(chan error, 1)
	go func() { draining <- d.Shutdown(context.Background()) }()
	g.Pass()
	if got := <-told; got != "action=DUNNO" {
		t.Errorf("told %s", got)
	}
	if err := <-draining; err != nil {
		t.Error(err)
	}
	if all := r.All(); len(all) != 1 || all[0].Request.Face != "policy" || all[0].Finding.Verdict != policy.Deliver {
		t.Errorf("decided %+v", all)
	}
}

// The host never answers, and the time to wait for it is over.
func TestShutdownEndsSoonAfterItsTimeIsUp(t *testing.T) {
	d, _, g, _ := heldDaemon(t)
	told := askPolicy(t, d)
	<-g.Reached
	if err := endsAtOnce(t, d); err == nil {
		t.Error("no error, though a request was cut off")
	}
	if got := <-told; got != "nothing" && got != "action=450 4.4.1 Mailbox cannot be looked up now, try again later" {
		t.Errorf("told %s", got)
	}
}

// So too if the request began before a reload, and its world is a former one.
func TestShutdownDoesNotWaitForAFormerWorld(t *testing.T) {
	d, _, g, text := heldDaemon(t)
	told := askPolicy(t, d)
	<-g.Reached
	reloads(t, d, text)
	_ = endsAtOnce(t, d)
	if got := <-told; got != "nothing" && got != "action=450 4.4.1 Mailbox cannot be looked up now, try again later" {
		t.Errorf("told %s", got)
	}
}

// The control socket's server would let its requests go on.
func TestShutdownCutsOffTheCommandLineToo(t *testing.T) {
	g := testbed.NewGate()
	defer g.Pass()
	dir, d, _ := everyFaceOf(t, testbed.StartHost(t, g.Before(testbed.Having("anna@example.com"))))
	cfg := config.Default()
	cfg.Listen.Control = []config.Listener{{Network: "unix", Address: dir + "/control"}}
	client := control.NewClient(cfg)
	defer client.Close()
	asked := make(chan error, 1)
	go func() {
		_, err := client.Query(context.Background(), "anna@example.com")
		asked <- err
	}()
	<-g.Reached
	if err := endsAtOnce(t, d); err == nil {
		t.Error("no error, though a request was cut off")
	}
	if err := <-asked; err == nil {
		t.Error("answered")
	}
}

// An asker who leaves takes nothing with him: the search goes on, and its result
// is there for the next.
func TestSearchOutlivesItsAsker(t *testing.T) {
	d, _, g, _ := heldDaemon(t)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan policy.Finding)
	go func() {
		f, _ := d.Search(ctx, policy.Request{Recipient: "anna@example.com"})
		left <- f
	}()
	<-g.Reached
	leave()
	if f := <-left; f.Verdict != policy.Defer {
		t.Errorf("who left is told %v", f.Verdict)
	}
	g.Pass()
	f, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com"})
	if err != nil || f.Verdict != policy.Deliver {
		t.Errorf("the next is told %v because %q, %v", f.Verdict, f.Why, err)
	}
	if len(g.Reached) > 0 {
		t.Error("the host was asked again")
	}
}
