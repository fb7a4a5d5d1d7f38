package milter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"strings"

	"postwhere/policy/server"
)

// maxFrame is the longest frame, in octets after its length: an MTA sends body
// chunks of 64 KiB, or 1 MiB where that was agreed on (SMFIP_MDS_1M in libmilter).
const maxFrame = 1 << 20

// The commands of an MTA (libmilter's mfdef.h).
const (
	cmdNegotiate = 'O'
	cmdMacros    = 'D'
	cmdConnect   = 'C'
	cmdHelo      = 'H'
	cmdMail      = 'M'
	cmdRcpt      = 'R'
	cmdHeader    = 'L'
	cmdUnknown   = 'U'
	// Those that bring nothing that could be wrong: DATA, end of headers, body,
	// end of message, abort, quit, and quit with a new connection to follow.
	cmdPlain = "TNBEAQK"
)

// checkFrame returns an error that wraps server.ErrMalformed unless a frame, which
// has an octet or more, is one of the protocol. What passes neither upsets
// go-milter nor makes it give up: it reads behind a NUL that it takes for granted
// in C, M and R, and behind the name in C.
func checkFrame(frame []byte, first bool) error {
	cmd, data := frame[0], frame[1:]
	switch {
	case first != (cmd == cmdNegotiate):
		return malformed("command %q, want the negotiation first, and once", cmd)
	case first:
		return checkNegotiation(data)
	}
	switch cmd {
	case cmdConnect:
		return checkConnect(data)
	case cmdHelo, cmdMail, cmdRcpt, cmdUnknown:
		if !endsInNUL(data) {
			return malformed("command %q without its final NUL", cmd)
		}
	case cmdHeader:
		if !endsInNUL(data) || bytes.Count(data, []byte{0}) != 2 {
			return malformed("a header is a name and a value, each ended by NUL")
		}
	case cmdMacros:
		if len(data) == 0 || len(data) > 1 && !endsInNUL(data) {
			return malformed("macros without their command or final NUL")
		}
	default:
		if strings.IndexByte(cmdPlain, cmd) < 0 {
			return malformed("unknown command %q", cmd)
		}
	}
	return nil
}

// minVersion is that of Sendmail 8.12, the oldest that go-milter speaks.
const minVersion = 2

func checkNegotiation(data []byte) error {
	if len(data) < 3*4 {
		return malformed("negotiation of %d octets, want %d", len(data), 3*4)
	}
	if v := binary.BigEndian.Uint32(data); v < minVersion {
		return malformed("version %d, want %d at least", v, minVersion)
	}
	return nil
}

// checkConnect checks the client's name, family, port and address.
func checkConnect(data []byte) error {
	_, rest, ok := bytes.Cut(data, []byte{0})
	if !ok || len(rest) == 0 {
		return malformed("client without name or family")
	}
	family, rest := rest[0], rest[1:]
	if family == 'U' {
		return nil
	}
	if len(rest) < 2 || !endsInNUL(rest[2:]) {
		return malformed("client of family %q without port or address", family)
	}
	address, _, _ := bytes.Cut(rest[2:], []byte{0})
	ok = false
	switch family {
	case 'L':
		ok = true
	case '4':
		ip := net.ParseIP(string(address))
		ok = ip != nil && ip.To4() != nil
	case '6':
		text := strings.TrimPrefix(string(address), "IPv6:")
		if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") && len(text) > 2 {
			text = text[1 : len(text)-1]
		}
		ok = net.ParseIP(text) != nil
	}
	if !ok {
		return malformed("client of family %q with address %.80q", family, address)
	}
	return nil
}

func endsInNUL(data []byte) bool { return len(data) > 0 && data[len(data)-1] == 0 }

func malformed(format string, args ...any) error {
	return fmt.Errorf("milter frame: %w: %s", server.ErrMalformed, fmt.Sprintf(format, args...))
}
