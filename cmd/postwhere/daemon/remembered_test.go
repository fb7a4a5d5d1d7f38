package daemon

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/cmd/postwhere/testbed"
	"postwhere/cmd/postwhere/world"
	"postwhere/policy"
)

// A dump is as long as memory, and takes none of it.
func TestDumpSwellsNothing(t *testing.T) {
	const n = 200_000
	mail1 := testbed.StartHost(t, testbed.Having())
	socket := testbed.ShortDir(t) + "/control"
	d, _ := startDaemon(t, strings.Replace(testbed.SiteText(mail1), "control   = []", "control = [\"unix:"+socket+"\"]", 1))
	for i := range n {
		d.memory.Restore(cache.Entry{
			Name:  cache.Name{Local: fmt.Sprintf("user%08d", i), Domain: "example.com"},
			Owner: policy.Answer{Host: "mail1", Says: policy.Yes, Method: "vrfy", At: time.Now()},
		})
	}
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	conn := dialUnix(t, socket)
	before := inUse()
	if _, err := conn.Write([]byte("GET /cache/dump HTTP/1.1\r\nHost: postwhere\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines, most := 0, before
	for in := bufio.NewScanner(response.Body); in.Scan(); lines++ {
		if lines%20_000 == 0 {
			most = max(most, inUse())
		}
	}
	// Nobody has asked for them meanwhile: a shard is copied at a time.
	if swollen := int64(most) - int64(before); lines != n || swollen > 8<<20 {
		t.Errorf("%d lines, %d bytes more than before", lines, swollen)
	}
}

// A search was under way when its address was flushed: a no of its time refuses nobody,
// nor does one over its connection. One over a new connection does.
func TestAnswerUnderWayWhenFlushedIsNotBelieved(t *testing.T) {
	g := testbed.NewGate()
	mail1 := testbed.StartHost(t, g.Before(testbed.Having()))
	d, _ := startDaemon(t, testbed.SiteText(mail1))
	finished := make(chan policy.Finding)
	go func() {
		f, _ := d.Search(context.Background(), policy.Request{Recipient: "anna@example.com"})
		finished <- f
	}()
	<-g.Reached
	if _, err := d.Flush(t.Context(), map[string][]string{"address": {"anna@example.com"}}); err != nil {
		t.Fatal(err)
	}
	g.Pass()
	if f := <-finished; f.Verdict != policy.Defer {
		t.Errorf("%v because %q", f.Verdict, f.Why)
	}
	if m := d.memory.Recall(policy.AddressOf("anna", "example.com"), time.Now()); len(m.Answers) > 0 {
		t.Errorf("remembered: %v", m.Answers)
	}
	refused := func() bool {
		for _, h := range d.world.AllHosts() {
			world.ProberOf(h).CloseIdle() // the one of before may be in use for a moment yet
		}
		f, _ := d.Search(t.Context(), policy.Request{Recipient: "anna@example.com"})
		return f.Verdict == policy.Reject
	}
	for until := time.Now().Add(5 * time.Second); !refused(); {
		if time.Now().After(until) {
			t.Fatal("it is refused no more")
		}
	}
}
