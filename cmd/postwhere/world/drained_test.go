package world

import (
	"slices"
	"testing"
)

func TestDrainedHostsAreSetAtOnce(t *testing.T) {
	var d DrainedHosts
	if got := d.Set([]string{"mail1", "mail2", "mail1"}, true); !slices.Equal(got, []string{"mail1", "mail2"}) {
		t.Errorf("drained %q", got)
	}
	since, drained := d.Of("mail1")
	if got := d.Set([]string{"mail1", "mail3"}, true); !slices.Equal(got, []string{"mail3"}) {
		t.Errorf("drained %q", got)
	}
	if again, still := d.Of("mail1"); !drained || !still || !again.Equal(since) {
		t.Errorf("mail1 since %v, then %v", since, again)
	}
	if got := d.Set([]string{"mail1", "mail4"}, false); !slices.Equal(got, []string{"mail1"}) {
		t.Errorf("undrained %q", got)
	}
	if _, drained := d.Of("mail1"); drained {
		t.Error("mail1 is drained yet")
	}
	var none *DrainedHosts
	if _, drained := none.Of("mail1"); drained {
		t.Error("drained without a daemon")
	}
}
