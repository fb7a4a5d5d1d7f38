package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// What keeps memory from being kept is said, and keeps nothing else.
func TestDaemonStartsWithoutItsFile(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "foreign"), []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		filepath.Join(dir, "none", "cache.db"): "make the directory, and let the daemon's user write there",
		dir:                                    "memory is not kept over a restart",
		filepath.Join(dir, "foreign"):          "is set aside as",
	} {
		d, r := startDaemon(t, testbed.SiteText(mail1)+"[cache]\nfile = \""+file+"\"\n")
		d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		if !r.Logged(want) {
			t.Errorf("%s: the log does not say %q", file, want)
		}
	}
}

func TestReloadWithAnotherFileKeepsWhatThereIs(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	dir := t.TempDir()
	with := func(file string) string {
		return testbed.SiteText(mail1) + fmt.Sprintf("[cache]\nfile = %q\n", filepath.Join(dir, file))
	}
	d, _ := startDaemon(t, with("one"))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	reloads(t, d, with("two"))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	for _, file := range []string{"one", "two"} {
		testbed.WaitKept(t, filepath.Join(dir, file), "anna")
	}
	reloads(t, d, testbed.SiteText(mail1))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	if d.keeper != nil {
		t.Error("it is kept yet")
	}
}

// A mailbox that its host denied a moment ago is in doubt over a restart, too: it
// may be on its way.
func TestDoubtOutlivesARestart(t *testing.T) {
	var gone atomic.Bool
	mail1 := testbed.StartHost(t, func(to string) error {
		if to == "anna@example.com" && !gone.Load() || to == "bert@example.com" { // who vouches for it
			return nil
		}
		return testbed.ErrNobody
	})
	text := testbed.SiteText(mail1) + fmt.Sprintf("[cache]\nfile = %q\nowner_refresh = \"1ms\"\n", filepath.Join(t.TempDir(), "memory"))
	d, _ := startDaemon(t, text)
	d.wants(t, "bert@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	gone.Store(true)
	if !realhost.Eventually(func() bool {
		f, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com"})
		return err == nil && f.Verdict == policy.Defer
	}) {
		t.Fatal("she is not in doubt")
	}
	d.stops(t)
	d, _ = startDaemon(t, text)
	d.wants(t, "anna@example.com", policy.Defer, "", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
}

// stops ends a daemon before the test does.
func (d *Daemon) stops(t *testing.T) {
	t.Helper()
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
}
