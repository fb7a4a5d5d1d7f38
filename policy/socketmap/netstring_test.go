package socketmap

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"postwhere/policy/server"
)

// A peer that announces much and sends nothing costs no memory.
func TestAnnouncedIsNotAllocated(t *testing.T) {
	const limit = 1 << 30
	r := bufio.NewReader(strings.NewReader("1000000000:x"))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := readNetstring(r, limit); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
		t.Errorf("%d octets allocated for one", took)
	}
}

func FuzzReadNetstring(f *testing.F) {
	for _, s := range []string{"0:,", "5:a b c,", "05:a b c,", "5:a b c,3:x y,", "26:transport anna@example.com,", "9999999999999999999999:", "5:a b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 1000
		r := bufio.NewReader(bytes.NewReader(in))
		for rest := in; ; {
			s, err := readNetstring(r, limit)
			if err != nil {
				switch {
				case s != "":
					t.Errorf("%q with the error %v", s, err)
				case errors.Is(err, io.EOF) && len(rest) == 0, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, server.ErrMalformed):
				default:
					t.Errorf("%v at %q", err, rest)
				}
				return
			}
			// There is just one way to write a netstring.
			if len(s) > limit || !bytes.HasPrefix(rest, []byte(netstring(s))) {
				t.Fatalf("%q of %q", s, rest)
			}
			rest = rest[len(netstring(s)):]
		}
	})
}

func FuzzNetstring(f *testing.F) {
	f.Add("transport anna@example.com")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := readNetstring(bufio.NewReader(strings.NewReader(netstring(s))), len(s))
		if got != s || err != nil {
			t.Errorf("%q became %q, %v", s, got, err)
		}
		if s == "" {
			return
		}
		if _, err := readNetstring(bufio.NewReader(strings.NewReader(netstring(s))), len(s)-1); !errors.Is(err, server.ErrMalformed) {
			t.Errorf("%q is not too long: %v", s, err)
		}
	})
}
