package bench

import (
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// roundTrip is how far away the hosts of these benchmarks are.
const roundTrip = 50 * time.Millisecond

// timerLag is what a sleeper wakes too late by, on the average: Go's poller (epoll_wait(2))
// waits for whole milliseconds. Relays sleep that much less; what comes of it is reported.
const timerLag = 450 * time.Microsecond

// underWay is what relays have had for how long.
var underWay struct{ pieces, time atomic.Int64 }

// distant returns the address of a relay that makes a host distant: what goes
// either way arrives half a round trip later, and a connection takes one to open.
func distant(b *testing.B, addr string) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go relay(near, addr)
		}
	}()
	return l.Addr().String()
}

func relay(near net.Conn, addr string) {
	time.Sleep(roundTrip)
	far, err := net.Dial("tcp", addr)
	if err != nil {
		_ = near.Close()
		return
	}
	var both sync.WaitGroup
	both.Go(func() { delayed(near, far) })
	both.Go(func() { delayed(far, near) })
	both.Wait()
	_ = near.Close()
	_ = far.Close()
}

// delayed copies what comes in, each piece half a round trip after it came, give or take half
// a millisecond.
func delayed(from, to net.Conn) {
	type piece struct {
		data []byte
		came time.Time
	}
	under := make(chan piece, 64) // more than are said in a dialogue within that time
	go func() {
		defer close(under)
		for room := make([]byte, 4096); ; {
			n, err := from.Read(room)
			if n > 0 {
				under <- piece{room[:n:n], time.Now()}
			}
			if err != nil {
				return
			}
			if room = room[n:]; len(room) < 1024 {
				room = make([]byte, 4096)
			}
		}
	}()
	for p := range under {
		time.Sleep(time.Until(p.came.Add(roundTrip/2 - timerLag)))
		if _, err := to.Write(p.data); err != nil {
			break
		}
		underWay.pieces.Add(1)
		underWay.time.Add(int64(time.Since(p.came)))
	}
	if half, ok := to.(*net.TCPConn); ok {
		_ = half.CloseWrite()
	}
	for range under { // the reader ends when its connection does
	}
}

// reportRelays reports the round trip that there has been in fact, if it was relays that made it.
func reportRelays(b *testing.B) {
	b.Helper()
	if pieces := underWay.pieces.Load(); pieces > 0 {
		b.ReportMetric(2*float64(underWay.time.Load())/float64(pieces)/1e6, "relay-rtt-ms")
	}
}

func distantHosts(b *testing.B) []string {
	b.Helper()
	addrs := benchHosts(b)
	for i, addr := range addrs {
		addrs[i] = distant(b, addr)
	}
	return addrs
}

// BenchmarkFarHostsOneAsker: one look-up after the other among three hosts that
// are 50 ms away, in round trips.
func BenchmarkFarHostsOneAsker(b *testing.B) {
	addrs := distantHosts(b)
	for _, known := range []bool{false, true} {
		b.Run(map[bool]string{false: "unknown", true: "known"}[known], func(b *testing.B) {
			w := benchWorld(b, addrs, 5)
			askers(1, 30, lookFor(b, w, known, 1)) // warm
			took := askers(1, 300, func(i int) { lookFor(b, w, known, 2)(i + 30) })
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()/roundTrip.Seconds(), "median-rtt")
			b.ReportMetric(took[len(took)*99/100].Seconds()/roundTrip.Seconds(), "p99-rtt")
			reportRelays(b)
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkFarHostsManyAskers: 64 askers over 20 connections to each host, and as
// many over those of a raw client, to hosts of its own: the tokens are Postfix's.
// The hosts are on this machine: what it can do in a second, with no processor idle
// (ceiling), follows from the processor time that a look-up takes, most of it theirs.
func BenchmarkFarHostsManyAskers(b *testing.B) {
	realTime(b)
	addrs, raws := distantHosts(b), distantHosts(b)
	b.Run("unknown", func(b *testing.B) { manyAskers(b, addrs, raws, false) })
	b.Run("known", func(b *testing.B) { manyAskers(b, addrs, raws, true) })
}

func manyAskers(b *testing.B, addrs, raws []string, known bool) {
	b.Helper()
	w := benchWorld(b, addrs, 20)
	askers(64, 1000, lookFor(b, w, false, 1)) // connections are open, budgets learnt
	// Known addresses are a burst: Postfix has 100 tokens for messages that
	// begin (in_flow_delay), of which a transaction with an accepted
	// recipient takes one, until real mail gives it back.
	lookups := map[bool]int{false: 3000, true: 1000}[known]
	if known {
		deliverTo(b, addrs, 20)
		deliverTo(b, raws, 20)
		time.Sleep(3 * time.Second)
	}
	sharedAhead(b)
	spent := processorTime(b)
	took, rate := crowdRate(64, lookups, lookFor(b, w, known, 2))
	each := (processorTime(b) - spent) / time.Duration(lookups)
	b.ReportMetric(each.Seconds()*1e3, "processor-ms/lookup")
	b.ReportMetric(float64(runtime.NumCPU())/each.Seconds(), "ceiling-lookups/s")
	raw := rawCrowdRate(b, raws, 20, 64, lookups, known)
	b.ReportMetric(raw, "raw-lookups/s")
	b.ReportMetric(rate/raw, "ratio")
	reportRelays(b)
	slices.Sort(took)
	b.ReportMetric(rate, "lookups/s")
	b.ReportMetric(took[len(took)/2].Seconds()/roundTrip.Seconds(), "median-rtt")
	b.ReportMetric(took[len(took)*99/100].Seconds()/roundTrip.Seconds(), "p99-rtt")
	b.ReportMetric(0, "ns/op")
}
