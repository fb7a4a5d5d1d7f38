package main

import (
	"io"
	"testing"
)

// startDaemon runs a daemon by a configuration until the test ends, and records
// what it decides.
func startDaemon(t *testing.T, text string) (*daemon, *recorder) {
	t.Helper()
	r := &recorder{}
	d := newDaemon(newMaillog(io.MultiWriter(testWriter{t}, r)), r.observe)
	runs(t, d, parse(t, text))
	return d, r
}
