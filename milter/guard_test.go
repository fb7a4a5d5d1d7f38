package milter

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postwhere/policy/server"
	"postwhere/policy/server/servertest"
)

// goodFrames pass after the negotiation.
var goodFrames = map[string]string{
	"client":                  frame('C', outside),
	"client, IPv6":            frame('C', "v6.example\x006\x00\x19IPv6:2001:db8::1\x00"),
	"client, IPv6 in []":      frame('C', "v6.example\x006\x00\x19[2001:db8::1]\x00"),
	"client, mapped":          frame('C', "v6.example\x004\x00\x19::ffff:192.0.2.1\x00"),
	"client, socket":          frame('C', "localhost\x00L\x00\x00/run/x\x00"),
	"client, unknown":         frame('C', "unknown\x00U"),
	"client, no name":         frame('C', "\x00U"),
	"HELO":                    frame('H', "x\x00"),
	"HELO, empty":             frame('H', "\x00"),
	"sender":                  frame('M', "<s@src.example>\x00SIZE=1\x00BODY=8BITMIME\x00"),
	"recipient":               frame('R', "<anna@example.com>\x00"),
	"header":                  frame('L', "Subject\x00\x00"),
	"no macros":               frame('D', "R"),
	"macros":                  frame('D', "Ri\x004Zx\x00"),
	"macro without a value":   frame('D', "Ri\x00"),
	"macros for what is new":  frame('D', "zi\x004Zx\x00"),
	"unknown command of SMTP": frame('U', "XYZZY\x00"),
	"DATA":                    frame('T', ""),
	"body":                    frame('B', "\x00\xff"),
	"body, empty":             frame('B', ""),
	"longest":                 frame('B', strings.Repeat("x", maxFrame-1)),
	"end of headers":          frame('N', ""),
	"end":                     frame('E', ""),
	"abort":                   frame('A', ""),
}

// violations are told apart, logged, and close the connection; the first are
// what go-milter panics at.
var violations = map[string]string{
	"no command":                   "\x00\x00\x00\x00",
	"client without NUL":           frame('C', "client.example"),
	"client without family":        frame('C', "client.example\x00"),
	"sender without NUL":           frame('M', "<s@src.example>"),
	"recipient without NUL":        frame('R', "<anna@example.com>"),
	"too long":                     "\x00\x10\x00\x01R",
	"512 MB":                       "\x20\x00\x00\x00R",
	"4 GB":                         "\xff\xff\xff\xffR",
	"client without anything":      frame('C', ""),
	"client without port":          frame('C', "client.example\x004\x00"),
	"client without address":       frame('C', "client.example\x004\x00\x19"),
	"client's address without NUL": frame('C', "client.example\x004\x00\x19192.0.2.1"),
	"client, no IPv4":              frame('C', "client.example\x004\x00\x192001:db8::1\x00"),
	"client, no IPv6":              frame('C', "client.example\x006\x00\x19x\x00"),
	"client, [":                    frame('C', "client.example\x006\x00\x19[\x00"),
	"client, other family":         frame('C', "client.example\x00X\x00\x19192.0.2.1\x00"),
	"HELO without NUL":             frame('H', "client.example"),
	"HELO without anything":        frame('H', ""),
	"sender without anything":      frame('M', ""),
	"recipient without anything":   frame('R', ""),
	"recipient's argument":         frame('R', "<anna@example.com>\x00NOTIFY=NEVER"),
	"header without value":         frame('L', "Subject\x00"),
	"header with two":              frame('L', "Subject\x00a\x00b\x00"),
	"header without NUL":           frame('L', "Subject\x00Hello"),
	"macros of nothing":            frame('D', ""),
	"macros without NUL":           frame('D', "Ri\x004Zx"),
	"unknown without NUL":          frame('U', "XYZZY"),
	"negotiation once more":        offer(6, allActions, allProtocol),
	"unknown command":              frame('Z', "x\x00"),
	"NUL for a command":            frame(0, ""),
	"a reply":                      frame('c', ""),
	"HTTP":                         "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	"TLS":                          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	"policy request":               "request=smtpd_access_policy\n\n",
}

// badOffers begin a connection, and end it.
var badOffers = map[string]string{
	"not a negotiation": frame('R', "<anna@example.com>\x00"),
	"quit":              frame('Q', ""),
	"too short":         frame('O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00"),
	"version 1":         offer(1, allActions, allProtocol),
	"version 0":         offer(0, 0, 0),
	"no command":        "\x00\x00\x00\x00",
	"HTTP":              "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
}

func TestGoodFrames(t *testing.T) {
	addr := startServer(t, "tcp", &servertest.Searcher{}, Options{})
	for name, f := range goodFrames {
		m := inMessage(t, addr)
		m.send(f, frame('A', ""), rcptOf("<nobody@example.com>"))
		for {
			got := m.read()
			if got == rejectSays {
				break
			}
			if got != goOn && got != "a" {
				t.Errorf("%s: reply %q", name, got)
				break
			}
		}
		m.conn.Close()
	}
}

func TestViolations(t *testing.T) {
	var j journal
	var s servertest.Searcher
	addr := startServer(t, "tcp", &s, Options{Options: server.Options{Log: j.logger()}})
	alive := inMessage(t, addr)
	for name, f := range violations {
		m := inMessage(t, addr)
		m.send(f)
		if got := m.read(); got != "" {
			t.Errorf("%s: reply %q", name, got)
		}
		j.wait(t, "peer="+m.conn.LocalAddr().String())
	}
	for name, f := range badOffers {
		m := dialMTA(t, addr)
		m.send(f)
		if got := m.read(); got != "" {
			t.Errorf("%s: reply %q", name, got)
		}
		j.wait(t, "peer="+m.conn.LocalAddr().String())
	}
	if n := strings.Count(j.String(), `level=WARN msg="connection closed"`); n != len(violations)+len(badOffers) {
		t.Errorf("%d connections were closed with a warning, want %d:\n%s", n, len(violations)+len(badOffers), &j)
	}
	if len(s.Asked()) > 0 {
		t.Errorf("searches: %+v", s.Asked())
	}
	alive.send(rcptOf("<nobody@example.com>"))
	alive.wants(rejectSays)
}

// A frame that stops half-way is waited for as long as one may take, and no longer.
func TestFrameThatStops(t *testing.T) {
	whole := rcptOf("<nobody@example.com>")
	t.Run("closed", func(t *testing.T) {
		var s servertest.Searcher
		addr := startServer(t, "tcp", &s, Options{})
		for n := 1; n < len(whole); n += 3 {
			m := inMessage(t, addr)
			m.send(whole[:n])
			m.conn.Close()
		}
		if len(s.Asked()) > 0 {
			t.Errorf("searches: %+v", s.Asked())
		}
	})
	t.Run("silent", func(t *testing.T) {
		var j journal
		addr := startServer(t, "tcp", &servertest.Searcher{}, Options{Options: server.Options{ReadTimeout: 50 * time.Millisecond, Log: j.logger()}})
		m := inMessage(t, addr)
		m.send(whole[:len(whole)-1])
		m.wants("")
		j.wait(t, "client too slow")
	})
	t.Run("octet by octet", func(t *testing.T) {
		m := inMessage(t, startServer(t, "tcp", &servertest.Searcher{}, Options{}))
		for i := range whole {
			m.send(whole[i : i+1])
		}
		m.wants(rejectSays)
	})
}

// FuzzFrames sends frames through the guard into the real library: whatever they
// are, the process lives on, and the next connection is served.
func FuzzFrames(f *testing.F) {
	for _, good := range goodFrames {
		if len(good) < 1000 { // else the fuzzer does nothing but make it shorter
			f.Add([]byte(good))
		}
	}
	for _, bad := range violations {
		f.Add([]byte(bad))
	}
	f.Add([]byte(frame('C', outside) + frame('H', "x\x00") + frame('M', "<>\x00") + rcptOf("<nobody@example.com>") + frame('E', "") + frame('K', "") + frame('Q', "")))
	addr := startServer(f, "unix", &servertest.Searcher{}, Options{TraceHeader: func() string { return "X-Postwhere" }})
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, version := range []uint32{2, 6} {
			m := dialMTA(t, addr)
			m.negotiate(version, allActions, map[uint32]uint32{2: 0, 6: allProtocol}[version])
			_, _ = m.conn.Write(in) // fails where the guard has closed already
			_, _ = m.conn.Write([]byte(frame('Q', "")))
			_ = m.conn.(*net.UnixConn).CloseWrite() // a frame that was begun goes no further
			_, _ = io.Copy(io.Discard, m.conn)
			m.conn.Close()
		}
		m := inMessage(t, addr)
		m.send(rcptOf("<nobody@example.com>"))
		m.wants(rejectSays)
		m.conn.Close()
	})
}

// FuzzCheckFrame: what passes has what the library takes for granted.
func FuzzCheckFrame(f *testing.F) {
	for _, good := range goodFrames {
		f.Add([]byte(good[4:]))
	}
	for _, bad := range violations {
		f.Add([]byte(bad))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) == 0 {
			return
		}
		for _, first := range []bool{true, false} {
			err := checkFrame(in, first)
			if err != nil {
				if !errors.Is(err, server.ErrMalformed) {
					t.Error(err)
				}
				continue
			}
			switch data := in[1:]; {
			case first && (in[0] != 'O' || len(data) < 12 || binary.BigEndian.Uint32(data) < 2):
				t.Errorf("%q begins a connection", in)
			case strings.IndexByte("CMR", in[0]) >= 0 && strings.IndexByte(string(data), 0) < 0:
				t.Errorf("%q has no NUL", in)
			case in[0] == 'C' && len(data) < strings.IndexByte(string(data), 0)+2:
				t.Errorf("%q has no family", in)
			}
		}
	})
}
