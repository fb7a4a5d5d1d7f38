package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"
)

func TestReadLine(t *testing.T) {
	for _, row := range []struct {
		in, want string
		err      error
	}{
		{"abc\ndef\n", "abc", nil},
		{"abc\r\n", "abc", nil},
		{"a\rbc\n", "a\rbc", nil},
		{"abc\r\r\n", "abc\r", nil},
		{"\n", "", nil},
		{"\r\n", "", nil},
		{strings.Repeat("x", 20) + "\n", strings.Repeat("x", 20), nil},
		{strings.Repeat("x", 20) + "\r\n", strings.Repeat("x", 20), nil},
		{strings.Repeat("x", 21) + "\n", "", ErrMalformed},
		{strings.Repeat("x", 21) + "\r\n", "", ErrMalformed},
		{strings.Repeat("x", 1000), "", ErrMalformed},
		{"", "", io.EOF},
		{"abc", "", io.ErrUnexpectedEOF},
		{"\r", "", io.ErrUnexpectedEOF},
		{strings.Repeat("x", 16), "", io.ErrUnexpectedEOF},
	} {
		// Buffers below and above the limit, a reader that hands over octet by octet.
		for _, size := range []int{16, 64} {
			got, err := ReadLine(bufio.NewReaderSize(iotest.OneByteReader(strings.NewReader(row.in)), size), 20)
			if string(got) != row.want || !errors.Is(err, row.err) {
				t.Errorf("ReadLine(%q) = %q, %v, want %q, %v", row.in, got, err, row.want, row.err)
			}
		}
	}
}

func TestReadLineKeepsNoEndlessLine(t *testing.T) {
	r := &counter{}
	if _, err := ReadLine(bufio.NewReaderSize(r, 64), 1000); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
	if r.n > 1000+2*64 {
		t.Errorf("%d octets read of a line that may have 1000", r.n)
	}
}

// counter is a line without end.
type counter struct{ n int }

func (c *counter) Read(b []byte) (int, error) {
	c.n += len(b)
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("abc\r\n\ndef"), 3)
	f.Add([]byte(strings.Repeat("x", 40)+"\n"), 30)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		limit = max(0, min(limit, 1000))
		r := bufio.NewReaderSize(bytes.NewReader(in), 16)
		for rest := in; ; {
			line, after, ended := bytes.Cut(rest, []byte("\n"))
			line = bytes.TrimSuffix(line, []byte("\r"))
			got, err := ReadLine(r, limit)
			switch {
			case ended && len(line) <= limit:
				if err != nil || !bytes.Equal(got, line) {
					t.Fatalf("%q, %v, want %q", got, err, line)
				}
			case ended:
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("%q, %v, want malformed", got, err)
				}
				return
			default:
				if err == nil || errors.Is(err, io.EOF) && len(rest) > 0 {
					t.Fatalf("%q, %v", got, err)
				}
				return
			}
			rest = after
		}
	})
}

func TestOneLine(t *testing.T) {
	for _, row := range [][2]string{
		{"User unknown", "User unknown"},
		{" two\r\n lines\n", "two lines"},
		{"a\x00b\tc\x7fd\u0085e\u2028f", "a b c d e f"},
		{"no \xff UTF-8", "no ? UTF-8"},
		{"", ""},
		{"\n", ""},
		{strings.Repeat("x", 25), strings.Repeat("x", 20)},
		{strings.Repeat("x", 19) + " y", strings.Repeat("x", 19)},
		{strings.Repeat("x", 19) + "ü", strings.Repeat("x", 19)},
		{strings.Repeat("x", 18) + "ü", strings.Repeat("x", 18) + "ü"},
	} {
		if got := OneLine(row[0], 20); got != row[1] {
			t.Errorf("OneLine(%q) = %q, want %q", row[0], got, row[1])
		}
	}
}

func FuzzOneLine(f *testing.F) {
	f.Add("two\r\nlines \xff ü", 7)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(0, min(limit, 1000))
		got := OneLine(text, limit)
		if len(got) > limit || !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r != ' ' && breaks(r) }) {
			t.Errorf("OneLine(%q, %d) = %q", text, limit, got)
		}
		if again := OneLine(got, limit); again != got {
			t.Errorf("OneLine(%q) = %q", got, again)
		}
	})
}
