package main

import (
	"sync/atomic"
	"testing"

	"postwhere/packaging/realhost"
	"postwhere/policy"
)

// A refresh that began before a reload hears that the mailbox is gone when the next
// world is there: that does not refuse it at once, either.
func TestReloadKeepsTheDoubtOfARefreshUnderWay(t *testing.T) {
	var gone atomic.Bool
	g := newGate()
	mail1 := startOddHost(t, func(to string) error {
		if to != "anna@example.com" {
			return errNobody
		}
		if !gone.Load() {
			return nil
		}
		return g.before(func(string) error { return errNobody })(to)
	})
	mail2 := startOddHost(t, having())
	d, _ := startDaemon(t, siteText(mail1, mail2))
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceSearch)
	gone.Store(true)
	d.memory.Distrust("mail1") // an hour has passed
	d.wants(t, "anna@example.com", policy.Deliver, "mail1", policy.SourceMemory)
	<-g.reached // asked again, behind
	reloads(t, d, siteText(mail1, mail2))
	g.pass()
	if !realhost.Eventually(func() bool {
		return d.memory.Recall(policy.AddressOf("anna", "example.com")).Owner.Says == policy.Unasked
	}) {
		t.Fatal("still owned")
	}
	f, err := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com", Face: "test"})
	if f.Verdict == policy.Reject {
		t.Errorf("refused though known a moment ago: %v %v", f.Answers, err)
	}
}
