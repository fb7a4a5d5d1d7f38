package tcptable

import (
	"fmt"
	"strings"

	"postwhere/policy/server"
)

const upperHex = "0123456789ABCDEF"

// quote encodes a parameter (tcp_table(5), "ENCODING"): %XX for %, blanks and
// what does not print, which is all beyond ASCII too, as src/util/hex_quote.c has
// it.
func quote(raw string) string {
	var b strings.Builder
	for i := range len(raw) {
		if c := raw[i]; c > ' ' && c < 0x7f && c != '%' {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// unquote decodes a parameter. The digits may be in any case. Octets beyond
// ASCII are taken unencoded too, as people type them; blanks and control
// characters are not: they end a parameter. The error wraps
// server.ErrMalformed.
func unquote(coded []byte) (string, error) {
	var b strings.Builder
	b.Grow(len(coded))
	for i := 0; i < len(coded); i++ {
		c := coded[i]
		switch {
		case c <= ' ' || c == 0x7f:
			return "", fmt.Errorf("%w: character %q in %.80q", server.ErrMalformed, c, coded)
		case c == '%':
			if i+2 >= len(coded) || !isHex(coded[i+1]) || !isHex(coded[i+2]) {
				return "", fmt.Errorf("%w: want %%XX, got %.80q", server.ErrMalformed, coded[i:])
			}
			c = unhex(coded[i+1])<<4 | unhex(coded[i+2])
			i += 2
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// unhex returns the value of a hexadecimal digit.
func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}
