package daemon

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"postwhere/cmd/postwhere/testbed"
	"postwhere/policy"
)

// Whatever reloads meanwhile: who asks when a host is drained is not refused.
func TestDrainedHostRefusesNobodyWhileTheDaemonReloads(t *testing.T) {
	mail1, mail2 := testbed.StartHost(t, testbed.Having("anna@example.com")), testbed.StartHost(t, testbed.Having("bert@example.com"))
	text := testbed.SiteText(mail1, mail2)
	d, _ := startDaemon(t, text)
	refused := 0
	for i := range 10 {
		var others sync.WaitGroup
		others.Go(func() { reloads(t, d, text) })
		others.Go(func() { // a search under way
			_, _ = d.Search(t.Context(), policy.Request{Recipient: "other1@example.com"})
			_ = d.Hosts()
		})
		if _, err := d.Drain([]string{"mail2"}, true); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			f, err := d.Search(t.Context(), policy.Request{Recipient: fmt.Sprintf("other%d@example.com", j)})
			if err != nil || f.Verdict != policy.Defer {
				t.Errorf("drained: %v because %q, %v", f.Verdict, f.Why, err)
			}
		}
		others.Wait()
		if _, err := d.Drain([]string{"mail2"}, false); err != nil {
			t.Fatal(err)
		}
		f, err := d.Search(t.Context(), policy.Request{Recipient: fmt.Sprintf("stranger%d@example.com", i)})
		if err != nil {
			t.Fatal(err)
		}
		if f.Verdict == policy.Reject {
			refused++
		}
	}
	if refused == 0 {
		t.Error("a host that is back refuses nobody")
	}
}

func TestDrainKnowsItsHosts(t *testing.T) {
	mail1 := testbed.StartHost(t, testbed.Having("anna@example.com"))
	d, _ := startDaemon(t, testbed.SiteText(mail1))
	_, err := d.Drain([]string{"mail1", "MAIL1"}, true)
	var none noHostError
	if !errors.As(err, &none) || err.Error() != "there is no host MAIL1: the hosts are mail1" {
		t.Errorf("%v", err)
	}
	if _, drained := d.drained.Of("mail1"); drained {
		t.Error("a wrong call drained mail1")
	}
	// A host that is gone, and is drained, can be undrained.
	d.drained.Set([]string{"gone"}, true)
	done, err := d.Drain([]string{"gone"}, false)
	if err != nil || len(done) != 1 || done[0].String() != "gone: is asked again" {
		t.Errorf("%v, %v", done, err)
	}
}
