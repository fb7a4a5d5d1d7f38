package socketmap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"postwhere/policy/server"
)

// readNetstring reads a netstring of at most limit octets (cr.yp.to/proto/
// netstrings.txt): LENGTH ":" OCTETS ",". It is strict: no leading zeros, no
// blanks, and no more digits than limit needs. Memory is taken for what has
// come, not for what the length announces. The error is io.EOF before the first
// octet, io.ErrUnexpectedEOF later, and wraps server.ErrMalformed for what is no
// netstring or too long.
func readNetstring(r *bufio.Reader, limit int) (string, error) {
	size, err := readLength(r, limit)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, r, int64(size)); err != nil {
		return "", midway(err)
	}
	switch c, err := r.ReadByte(); {
	case err != nil:
		return "", midway(err)
	case c != ',':
		return "", malformed("want a comma after %d octets, got %q", size, c)
	}
	return b.String(), nil
}

// readLength reads a netstring's length and the colon.
func readLength(r *bufio.Reader, limit int) (int, error) {
	size := 0
	for digits := 0; ; digits++ {
		c, err := r.ReadByte()
		switch {
		case err != nil && digits > 0:
			return 0, midway(err)
		case err != nil:
			return 0, err
		case c == ':' && digits > 0:
			return size, nil
		case c < '0' || c > '9':
			return 0, malformed("want a netstring's length, got %q", c)
		case size == 0 && digits > 0:
			return 0, malformed("a netstring's length with a leading zero")
		}
		if size = size*10 + int(c-'0'); size > limit {
			return 0, malformed("netstring longer than %d octets", limit)
		}
	}
}

// midway turns the end of the input into one that came too soon.
func midway(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", server.ErrMalformed, fmt.Sprintf(format, args...))
}

// netstring returns s as a netstring.
func netstring(s string) string { return strconv.Itoa(len(s)) + ":" + s + "," }
