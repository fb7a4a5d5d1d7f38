package main

import (
	"slices"
	"testing"
)

func TestDrainedHostsAreSetAtOnce(t *testing.T) {
	var d drainedHosts
	if got := d.set([]string{"mail1", "mail2", "mail1"}, true); !slices.Equal(got, []string{"mail1", "mail2"}) {
		t.Errorf("drained %q", got)
	}
	since, drained := d.of("mail1")
	if got := d.set([]string{"mail1", "mail3"}, true); !slices.Equal(got, []string{"mail3"}) {
		t.Errorf("drained %q", got)
	}
	if again, still := d.of("mail1"); !drained || !still || !again.Equal(since) {
		t.Errorf("mail1 since %v, then %v", since, again)
	}
	if got := d.set([]string{"mail1", "mail4"}, false); !slices.Equal(got, []string{"mail1"}) {
		t.Errorf("undrained %q", got)
	}
	if _, drained := d.of("mail1"); drained {
		t.Error("mail1 is drained yet")
	}
	var none *drainedHosts
	if _, drained := none.of("mail1"); drained {
		t.Error("drained without a daemon")
	}
}
