package daemon

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// reloads has a daemon run by another configuration.
func reloads(t *testing.T, d *Daemon, text string) {
	t.Helper()
	cfg := testbed.Parse(t, text)
	if err := d.Adopt(cfg); err != nil {
		t.Fatal(err)
	}
}

// wants looks a recipient up and wants a verdict from a source.
func (d *Daemon) wants(t *testing.T, recipient string, verdict policy.Verdict, host, source string) {
	t.Helper()
	f, err := d.Search(t.Context(), policy.Request{Recipient: recipient, Face: "test"})
	if err != nil || f.Verdict != verdict || hostName(f) != host || f.Source != source {
		t.Errorf("%s: %s %q from %s because %q, %v; want %s %q from %s", recipient, f.Verdict, hostName(f), f.Source, f.Why, err, verdict, host, source)
	}
}

func TestReloadsRefuseAndDeferNobodyMeanwhile(t *testing.T) {
	mail1, mail2, mail3 := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, func(to string) error {
		if strings.HasPrefix(to, "known") {
			return nil
		}
		return testbed.ErrNobody
	}), testbed.StartHost(t, testbed.Having("carla@example.com"))
	text := testbed.SiteText(mail1, mail2, mail3)
	d, _ := startDaemon(t, text)

	progress := make(chan struct{}, 1000)
	var askers sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for asker := range 8 {
		askers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				for recipient, want := range map[string]policy.Verdict{
					"anna@example.com":  policy.Deliver,
					"carla@example.com": policy.Deliver,
					fmt.Sprintf("known%d-%d@example.com", asker, i):   policy.Deliver,
					fmt.Sprintf("unknown%d-%d@example.com", asker, i): policy.Reject,
				} {
					f, err := d.Search(context.Background(), policy.Request{Recipient: recipient, Face: "test"})
					if err != nil || f.Verdict != want {
						t.Errorf("%s: %v because %q, %v, want %v", recipient, f.Verdict, f.Why, err, want)
					}
				}
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range 20 {
		for range 20 {
			<-progress
		}
		reloads(t, d, text+fmt.Sprintf("[search]\nmax_searches = %d\n", 10000+i))
	}
	stop()
	askers.Wait()
}

func TestReloadKeepsOwnersAndForgetsStrangers(t *testing.T) {
	mail1, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, testbed.Having())
	text := testbed.SiteText(mail1, mail2)
	d, _ := startDaemon(t, text)
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceMemory)
	reloads(t, d, text)
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	if got, want := mail1.Asked(), []string{"anna@example.com", "nobody@example.com", "nobody@example.com"}; !slices.Equal(got, want) {
		t.Errorf("mail1 was asked about %v, want %v", got, want)
	}
}

// A host that has lost its mailboxes is found out by those that it was known to have, and it is
// known what its connections bear: neither is forgotten. One that is asked in another way may be
// the same with its directory broken: it has to have somebody.
func TestReloadKeepsWhatWasLearntOfHosts(t *testing.T) {
	mail1, other := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, testbed.Having())
	d, _ := startDaemon(t, testbed.SiteText(mail1))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	learnt := d.world.HostNotes()["mail1"].Known
	if len(learnt.Witnesses) == 0 || len(learnt.Calibrations) == 0 {
		t.Fatalf("nothing was learnt: %+v", learnt)
	}
	reloads(t, d, testbed.SiteText(mail1)+"[search]\ndeadline = \"9s\"\n")
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	if now := d.world.HostNotes()["mail1"].Known; !cmp.Equal(now, learnt) {
		t.Error(cmp.Diff(learnt, now))
	}
	reloads(t, d, testbed.SiteText(other))
	d.wants(t, "nobody@example.com", policy.Defer, "", policy.SourceSearch)
}

// Lifetimes of a domain that change in a reload count for what is remembered.
func TestReloadWithOtherLifetimesOfADomain(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com", "anna@example.org"))
	text := testbed.SiteText(mail1) + "[[domain]]\nname = \"example.org\"\nhosts = [\"mail1\"]\n"
	d, _ := startDaemon(t, text)
	for _, domain := range []string{"example.com", "example.org"} {
		d.wants(t, "anna@"+domain, policy.Deliver, "mail1", policy.SourceSearch)
	}
	time.Sleep(2 * time.Millisecond) // both are older than what comes
	reloads(t, d, text+"owner_refresh = \"1ms\"\nowner_expire = \"1ms\"\n")
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	d.wants(t, "anna@example.org", policy.Deliver, "mail1", policy.SourceSearch)
	reloads(t, d, text)
	if _, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.org"}); err != nil { // if he is forgotten
		t.Fatal(err)
	}
	d.wants(t, "anna@example.org", policy.Deliver, "mail1", policy.SourceMemory)
}

func TestReloadWithOtherBoundsKeepsOwners(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	d, _ := startDaemon(t, testbed.SiteText(mail1))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	reloads(t, d, testbed.SiteText(mail1)+"[cache]\nowners = 5000\nno_expire = \"1m\"\n")
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
}

// The name leads to another machine now. What was known of it stands, as while a host
// is down, but is asked again.
func TestReloadWithAnotherMachineAsksItsOwnersAgain(t *testing.T) {
	old, now, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, testbed.Having()), testbed.StartHost(t, testbed.Having("bert@example.com"))
	d, r := startDaemon(t, testbed.SiteText(old, mail2))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	d.wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceSearch)
	reloads(t, d, testbed.SiteText(now, mail2))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	d.wants(t, "bert@example.com", policy.Deliver, "mail2", policy.SourceMemory)
	if !realhost.Eventually(func() bool {
		f, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com"})
		return err == nil && f.Verdict == policy.Defer // she is in doubt
	}) {
		t.Error("the new machine was not asked")
	}
	if n := len(slices.DeleteFunc(mail2.Asked(), func(a string) bool { return a != "bert@example.com" })); n != 1 {
		t.Errorf("mail2 was asked about bert %d times", n)
	}
	if !r.Logged("host is configured otherwise") {
		t.Error("the log does not say so")
	}
}

// A search of the old world is still asking when the new one begins, in which
// mail1 is another machine: its no must not refuse what is there.
func TestNoOfAHostFromBeforeTheReloadRefusesNothing(t *testing.T) {
	g := testbed.NewGate()
	old := testbed.StartHost(t, g.Before(testbed.Having()))
	now := testbed.StartHost(t, testbed.Having("anna@example.com"))
	d, _ := startDaemon(t, testbed.SiteText(old))
	finished := make(chan policy.Finding)
	go func() {
		f, _ := d.Search(context.Background(), policy.Request{Recipient: "anna@example.com"})
		finished <- f
	}()
	<-g.Reached
	reloads(t, d, testbed.SiteText(now))
	g.Pass()
	if f := <-finished; f.Verdict != policy.Deliver { // it is looked for once more
		t.Errorf("the search from before: %v because %q", f.Verdict, f.Why)
	}
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
}

// A look-up is made of two searches, and the reload comes between them.
func TestLookUpThatAReloadInterruptsIsFinished(t *testing.T) {
	g := testbed.NewGate()
	mail1 := testbed.StartHost(t, g.Before(testbed.Having("anna+list@example.com")))
	text := strings.Replace(testbed.SiteText(mail1), "[host", "recipient_delimiter = \"+\"\n[host", 1)
	d, _ := startDaemon(t, text)
	finished := make(chan policy.Finding)
	go func() {
		f, _ := d.Search(context.Background(), policy.Request{Recipient: "anna+list@example.com"})
		finished <- f
	}()
	<-g.Reached // about anna
	reloads(t, d, text)
	for range 1000 {
		runtime.Gosched() // so that the old world gets to end, as far as it may
	}
	g.Pass()
	if f := <-finished; f.Verdict != policy.Deliver {
		t.Errorf("%v because %q", f.Verdict, f.Why)
	}
}

func TestReloadThatFailsLeavesEverythingAsItWas(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	d, _ := startDaemon(t, testbed.SiteText(mail1))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceSearch)
	before, doors := d.world, len(d.doors)
	cfg := testbed.Parse(t, strings.Replace(testbed.SiteText(mail1), "control   = []", `control = ["unix:`+t.TempDir()+`/none/x"]`, 1)+"[cache]\nowners = 1\n")
	if err := d.Adopt(cfg); err == nil {
		t.Fatal("a listener in a directory that is not there was opened")
	}
	if d.world != before || len(d.doors) != doors {
		t.Error("the world is another")
	}
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	d.wants(t, "nobody@example.com", policy.Reject, "", policy.SourceMemory)
}

// map_wait is the configuration's of the day, though the listener is older.
func TestReloadedMapWaitCountsAtOldListeners(t *testing.T) {
	g := testbed.NewGate()
	defer g.Pass()
	mail1 := testbed.StartHost(t, g.Before(testbed.Having()))
	d, _ := startDaemon(t, testbed.SiteText(mail1)+"[search]\nmap_wait = \"1m\"\n")
	reloads(t, d, testbed.SiteText(mail1)+"[search]\nmap_wait = \"1ms\"\n")
	f, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com", Face: "socketmap", Wait: time.Minute})
	if err != nil || f.Verdict != policy.Defer || f.Why != "the search goes on" {
		t.Errorf("%v because %q, %v", f.Verdict, f.Why, err)
	}
}
