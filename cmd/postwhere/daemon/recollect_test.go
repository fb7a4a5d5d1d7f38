package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// leavesDoubt leaves a file by which anna was denied a moment ago, and bert is at mail1,
// which is the host that is returned.
func leavesDoubt(t *testing.T, file string) *testbed.Host {
	t.Helper()
	var gone atomic.Bool
	mail1 := testbed.StartHost(t, func(to string) error {
		if to == "anna@example.com" && !gone.Load() || to == "bert@example.com" {
			return nil
		}
		return testbed.ErrNobody
	})
	d, _ := startDaemon(t, testbed.SiteText(mail1)+fmt.Sprintf("[cache]\nfile = %q\n", file))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	d.wants(t, "bert@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	gone.Store(true)
	d.memory.Distrust("mail1", time.Now()) // she is asked again
	d.waits(t, "anna@example.com", policy.Defer, "")
	d.stops(t)
	return mail1
}

// wantRecollected wants a daemon that knows that anna is in doubt, and that bert's mail1
// was another machine.
func (d *Daemon) wantRecollected(t *testing.T) {
	t.Helper()
	d.wants(t, "bert@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	d.waits(t, "bert@example.com", policy.Defer, "") // by the new machine
	d.wants(t, "anna@example.com", policy.Defer, "", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
}

// The file is had when the daemon has begun without it: what it says counts all the same.
func TestFileThatComesLateIsRecollected(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "memory")
	leavesDoubt(t, file)
	away := filepath.Dir(file) + "-away"
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(filepath.Dir(file), away)
	d, r := startDaemon(t, testbed.SiteText(testbed.StartHost(t, testbed.Having()))+fmt.Sprintf("[cache]\nfile = %q\n", file))
	if !r.Logged("make the directory") {
		t.Error("it has the file")
	}
	move(away, filepath.Dir(file))
	if err := d.keeper.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.wantRecollected(t)
}

// A reload names a file that an earlier run has left.
func TestReloadRecollectsTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "memory")
	leavesDoubt(t, file)
	text := testbed.SiteText(testbed.StartHost(t, testbed.Having()))
	d, _ := startDaemon(t, text)
	reloads(t, d, text+fmt.Sprintf("[cache]\nfile = %q\n", file))
	d.wantRecollected(t)
}

// As long as the file is not read all are in doubt, and as long as memory lacks its owners.
func TestNobodyIsRefusedBeforeTheFileIsRead(t *testing.T) {
	t.Parallel()
	d, _ := startDaemon(t, testbed.SiteText(testbed.StartHost(t, testbed.Having())))
	begun := d.doubts.Await()
	d.wants(t, "anna@example.com", policy.Defer, "", policy.SourceSearch)
	loaded := d.recollect(nil)
	begun()
	d.wants(t, "anna@example.com", policy.Defer, "", policy.SourceSearch)
	loaded()
	d.waits(t, "anna@example.com", policy.Reject, "")
}

// An owner comes out of a slow file when it has been read already that another front end's host has
// denied the mailbox since.
func TestWhoWasDeniedIsNoOwnerOutOfASlowFile(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		text := testbed.SiteText(testbed.StartHost(t, testbed.Having("anna@example.com")))
		all, _ := startFrontEnds(t, 2, "redis://"+r.Addr(), text)
		one, two := all[0], all[1]
		anna := policy.AddressOf("anna", "example.com")
		two.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		two.waitTold(t)
		known, _ := two.memory.Look(cache.Name{Local: "anna", Domain: "example.com"})
		notes, past := two.notes(), two.tiers.link.Load().Position()
		hasHeard := func() bool { return two.tiers.link.Load().Position().Denials != past.Denials }
		hasForgotten := func() bool { return two.memory.Recall(anna, time.Now()).Owner.Says == policy.Unasked }
		one.tiers.Deny(anna, time.Now())
		if !realhost.Eventually(func() bool { return hasHeard() && hasForgotten() }) {
			t.Fatal("it is not heard")
		}
		loaded := two.recollect(notes)
		if !realhost.Eventually(hasHeard) {
			t.Fatal("it is not heard once more")
		}
		two.memory.Restore(known)
		if hasForgotten() {
			t.Error("she is not in memory: that is no test")
		}
		loaded()
		if !realhost.Eventually(hasForgotten) {
			t.Error("she is at mail1, which has denied her")
		}
	})
}

// A host that was no domain's for a while, and comes back as another machine, is asked
// again about its owners; and whom not to trust is known over a restart.
func TestHostThatComesBackAsAnotherIsDistrusted(t *testing.T) {
	t.Parallel()
	old, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, testbed.Having())
	cache := fmt.Sprintf("[cache]\nfile = %q\n", filepath.Join(t.TempDir(), "memory"))
	d, _ := startDaemon(t, testbed.SiteText(old, mail2)+cache)
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	without := strings.Replace(testbed.SiteText(old, mail2), `"mail1", `, "", 1)
	without = strings.Replace(without, fmt.Sprintf("[host.mail1]\nprobe = %q\n", old.Address), "", 1)
	reloads(t, d, without+cache)
	d.stops(t)
	d, _ = startDaemon(t, without+cache)
	text := testbed.SiteText(testbed.StartHost(t, testbed.Having()), mail2) + cache
	reloads(t, d, text)
	d.stops(t)
	d, _ = startDaemon(t, text)
	if since := d.memory.Distrusted()["mail1"]; since.IsZero() {
		t.Error("mail1 is trusted")
	}
	d.waits(t, "anna@example.com", policy.Defer, "")
}

// A purge that the other front ends are yet to be told of outlives a reload that changes
// the link, one that has nothing shared, and a restart.
func TestPurgeThatWaitsIsKept(t *testing.T) {
	t.Parallel()
	realhost.EachRedis(t, func(t *testing.T, kind realhost.RedisKind) {
		r := kind.Start(t, "")
		text := testbed.SiteText(testbed.StartHost(t, testbed.Having("anna@example.com")))
		alone := text + fmt.Sprintf("[cache]\nfile = %q\n", filepath.Join(t.TempDir(), "memory"))
		with := alone + fmt.Sprintf("shared = \"redis://%s\"\n", r.Addr())
		one, log := startDaemon(t, with)
		two, _ := startFrontEnds(t, 1, "redis://"+r.Addr(), text)
		two[0].wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
		two[0].waitTold(t)
		one.waitTold(t)
		r.Pause(t)
		// It may not be known yet, and leaves time for the file.
		if f, err := one.Flush(t.Context(), map[string][]string{"address": {"bert@example.com"}}); err != nil || f.SharedWhy == "" || f.Why != "" {
			t.Errorf("%+v, %v", f, err)
		}
		if !realhost.Eventually(func() bool { return log.Logged("shared memory is away") }) {
			t.Fatal("it is not noticed")
		}
		if f, err := one.Flush(t.Context(), map[string][]string{"address": {"anna@example.com"}}); err != nil || f.SharedWhy == "" {
			t.Errorf("%+v, %v", f, err)
		}
		reloads(t, one, with+"owner_expire = \"8d\"\n")
		reloads(t, one, alone)
		one.stops(t)
		one, _ = startDaemon(t, alone)
		one.stops(t)
		r.Resume(t)
		if owner := two[0].memory.Recall(policy.AddressOf("anna", "example.com"), time.Now()).Owner; owner.Host != "mail1" {
			t.Errorf("she is forgotten already: %+v", owner)
		}
		startDaemon(t, with)
		if !realhost.Eventually(func() bool {
			return two[0].memory.Recall(policy.AddressOf("anna", "example.com"), time.Now()).Owner.Says == policy.Unasked
		}) {
			t.Error("the other front end is not told")
		}
	})
}

// A search of the world before may end when its host is another machine already.
func TestLateYesOfTheOldMachineIsAskedAgain(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	old := testbed.StartHost(t, func(to string) error {
		if to == "anna@example.com" {
			close(asked)
			<-answer
			return nil
		}
		return testbed.ErrNobody
	})
	d, _ := startDaemon(t, testbed.SiteText(old))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = d.Search(context.Background(), policy.Request{Recipient: "anna@example.com"})
	}()
	<-asked
	reloads(t, d, testbed.SiteText(testbed.StartHost(t, testbed.Having())))
	close(answer)
	<-ended
	d.waits(t, "anna@example.com", policy.Defer, "") // by the new machine, a moment later
}
