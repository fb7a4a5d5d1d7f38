package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A frame is the length of its payload (4 octets), its number (8), the checksum of
// number and payload (4), and the payload. Numbers rise: what an Append left behind
// that failed is not taken for what a later one wrote.
const (
	frameHead = 4 + 8 + 4
	maxFrame  = 64 << 20 // a note's; those of owners are of some frameRoom
	frameRoom = 64 << 10
)

// errNoFrame: what is there is no whole frame.
var errNoFrame = errors.New("no frame")

// appendFrame appends a frame.
func appendFrame(to []byte, number uint64, payload []byte) []byte {
	head := len(to)
	to = binary.BigEndian.AppendUint32(to, uint32(len(payload))) //nolint:gosec // maxFrame
	to = binary.BigEndian.AppendUint64(to, number)
	sum := crc32.Checksum(to[head+4:], checksums)
	to = binary.BigEndian.AppendUint32(to, crc32.Update(sum, checksums, payload))
	return append(to, payload...)
}

// readFrame reads a frame where there are size octets more; the payload is made in
// room, if there is enough. Its error wraps errNoFrame if there is none.
func readFrame(in io.Reader, room []byte, size int64) (payload []byte, number uint64, err error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, 0, noFrame(err)
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	number = binary.BigEndian.Uint64(head[4:])
	if n == 0 || n > maxFrame || n > size-frameHead {
		return nil, 0, errNoFrame
	}
	if int64(cap(room)) < n {
		room = make([]byte, n)
	}
	payload = room[:n]
	if _, err := io.ReadFull(in, payload); err != nil {
		return nil, 0, noFrame(err)
	}
	sum := crc32.Checksum(head[4:12], checksums)
	if crc32.Update(sum, checksums, payload) != binary.BigEndian.Uint32(head[12:]) {
		return nil, 0, errNoFrame
	}
	return payload, number, nil
}

// noFrame returns the error of a frame that could not be read.
func noFrame(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNoFrame
	}
	return err
}
