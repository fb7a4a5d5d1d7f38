package config

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
)

// ownersFile returns a file of n owners.
func ownersFile(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "firstname.lastname%07d@example.com\tmail%d.example.net\n", i, 1+i%3)
	}
	return b.Bytes()
}

// BenchmarkOwners1M loads a million owners. On a small machine: 1.5 s, and some
// 130 bytes stay for each.
func BenchmarkOwners1M(b *testing.B) {
	const n = 1_000_000
	file := ownersFile(n)
	d := Domain{Name: Names{"example.com"}, Hosts: []string{"mail1.example.net", "mail2.example.net", "mail3.example.net"}}
	before := heap()
	for b.Loop() {
		d.owners = nil
		var wrong problems
		if d.owners = d.parseOwners("owners", bytes.NewReader(file), &wrong); len(d.owners) != n || wrong != nil {
			b.Fatalf("%d owners, %v", len(d.owners), wrong)
		}
	}
	b.ReportMetric(float64(heap()-before)/n, "B/owner")
	runtime.KeepAlive(file)
	runtime.KeepAlive(d.owners)
}

// heap returns the octets that are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
