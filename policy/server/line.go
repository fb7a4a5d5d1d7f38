package server

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReadLine reads a line that ends with LF, of at most limit octets without its
// ending, and returns it without LF and without a CR before that: Postfix ends
// its lines with LF alone, people who try a protocol by hand with CRLF. The line
// is valid until the next read. The error is io.EOF before the first octet and
// io.ErrUnexpectedEOF within the line; a line that is too long is ErrMalformed,
// told without reading, or keeping, more of it than limit and a buffer of r.
func ReadLine(r *bufio.Reader, limit int) ([]byte, error) {
	var begun []byte // of a line that is longer than r's buffer
	for {
		part, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if err == io.EOF && len(begun)+len(part) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		line := part
		if begun != nil || err != nil {
			begun = append(begun, part...)
			line = begun
		}
		over := len(line) > limit+len("\r") // the line may end here, in the middle of CRLF
		if err == nil {
			line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
			over = len(line) > limit
		}
		switch {
		case over:
			return nil, fmt.Errorf("%w: line longer than %d octets", ErrMalformed, limit)
		case err == nil:
			return line, nil
		}
	}
}

// OneLine makes of a text what may stand in a reply of one line: valid UTF-8
// (smtpd rejects a policy action that is not, src/smtpd/smtpd_check.c), a blank
// for each run of blanks, control characters and line ends, none at the ends,
// and at most limit octets, cut between characters.
func OneLine(text string, limit int) string {
	clean := strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), breaks), " ")
	if len(clean) <= limit {
		return clean
	}
	for limit > 0 && !utf8.RuneStart(clean[limit]) {
		limit--
	}
	return strings.TrimRight(clean[:limit], " ")
}

// breaks tells whether a character parts words or could part lines; U+2028 and
// U+2029 are space to Unicode.
func breaks(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }
