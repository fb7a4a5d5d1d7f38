package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"
)

// The file begins with a page: magic, version, and two marks that are written in
// turn, so that one is whole if the machine stops while the other is written. All
// numbers are big endian.
//
//	0     magic
//	16    version, 4 octets
//	512   mark
//	1024  mark
//	4096  frames
const (
	magic      = "postwhere cache\n"
	version    = 1
	markSpace  = 512
	headerSize = 4096
)

// badFile is what is wrong with a file that is not to be believed.
type badFile string

func (e badFile) Error() string { return string(e) }

// errEmpty: nothing was ever written to the file.
var errEmpty = errors.New("is empty")

var checksums = crc32.MakeTable(crc32.Castagnoli)

// header is what a mark says.
type header struct {
	turn uint64
	end  int64     // of what is on the disk for certain
	at   time.Time // when that was so: it is later now, whatever the clock says
}

func newHeader() header { return header{end: headerSize, at: time.Unix(0, 0)} }

// next returns the header of a file that has grown.
func (h header) next(end int64, now time.Time) header {
	if now.Before(h.at) {
		now = h.at
	}
	return header{turn: h.turn + 1, end: end, at: now.Round(0)}
}

const markSize = 3*8 + 4

// write writes the mark that is not the last one's.
func (h header) write(to io.WriterAt) error {
	mark := make([]byte, 0, markSize)
	mark = binary.BigEndian.AppendUint64(mark, h.turn)
	mark = binary.BigEndian.AppendUint64(mark, uint64(h.end)) //nolint:gosec // an offset
	mark = binary.BigEndian.AppendUint64(mark, uint64(h.at.UnixNano()))
	mark = binary.BigEndian.AppendUint32(mark, crc32.Checksum(mark, checksums))
	_, err := to.WriteAt(mark, markSpace*int64(1+h.turn%2)) //nolint:gosec // 0 or 1
	return err
}

// create writes the page of a new file, and moves behind it.
func (h header) create(f *os.File) error {
	page := make([]byte, headerSize)
	copy(page, magic)
	binary.BigEndian.PutUint32(page[len(magic):], version)
	if _, err := f.Write(page); err != nil {
		return err
	}
	return h.write(f)
}

// readHeader reads the page, and returns what the later mark says.
func readHeader(from io.ReaderAt, size int64) (h header, err error) {
	page := make([]byte, headerSize)
	n, err := from.ReadAt(page, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return h, err
	}
	page = page[:n]
	switch {
	case size == 0:
		return h, errEmpty
	case !bytes.HasPrefix(page, []byte(magic)) && !bytes.HasPrefix([]byte(magic), page):
		return h, badFile("is not a file of this program's")
	case n < headerSize:
		return h, badFile("is cut short")
	}
	if v := binary.BigEndian.Uint32(page[len(magic):]); v != version {
		return h, badFile(fmt.Sprintf("is of format %d, and this program writes %d", v, version))
	}
	found := false
	for i := range 2 {
		mark := page[markSpace*(1+i):][:markSize]
		sum := binary.BigEndian.Uint32(mark[markSize-4:])
		turn := binary.BigEndian.Uint64(mark)
		if crc32.Checksum(mark[:markSize-4], checksums) == sum && (!found || turn > h.turn) {
			found = true
			h.turn = turn
			h.end = int64(binary.BigEndian.Uint64(mark[8:]))                //nolint:gosec // compared below
			h.at = time.Unix(0, int64(binary.BigEndian.Uint64(mark[2*8:]))) //nolint:gosec // as it was written
		}
	}
	switch {
	case !found || h.end < headerSize:
		return h, badFile("is damaged in its header")
	case h.end > size:
		return h, badFile(fmt.Sprintf("is cut short: it had %d octets, and has %d", h.end, size))
	}
	return h, nil
}
