package milter

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"postwhere/policy/server"
)

const (
	// negotiationTime is how long an MTA may be silent at first: it begins at once.
	negotiationTime = 10 * time.Second
	// maxSilence is how long later. While a message comes in nothing is said to
	// us, and that may take hours; a client that is gone is found by TCP.
	maxSilence = 24 * time.Hour
	// keptBuffer is how much of a buffer is kept for the next frame.
	keptBuffer = 64 << 10
)

// wire is a connection as go-milter gets it. Each frame is read and checked as a
// whole before the library sees an octet of it, because the library panics at some
// that no MTA sends, in a goroutine of its own, and the process with it; and it
// makes room for the 512 MB that a peer may announce.
//
// The library's deadlines are ignored (one second for the negotiation, none for
// what follows): c has those of the other faces.
type wire struct {
	*server.Conn
	in     *bufio.Reader
	buf    bytes.Buffer // what the library has yet to read of a frame
	frames int          // so far

	once   sync.Once
	closed chan struct{}
	fault  error // why no further frame was read; valid when closed is
}

func newWire(c *server.Conn) *wire {
	return &wire{Conn: c, in: bufio.NewReader(c), closed: make(chan struct{})}
}

// Read gives the library what was checked. When it begins to read a frame, it has
// answered the one before.
func (w *wire) Read(p []byte) (int, error) {
	if w.buf.Len() == 0 {
		if err := w.next(); err != nil {
			if !errors.Is(err, io.EOF) {
				w.fault = err
			}
			return 0, io.EOF
		}
	}
	return w.buf.Read(p)
}

// next reads a frame. io.EOF says that there is none.
func (w *wire) next() error {
	if w.buf.Cap() > keptBuffer {
		w.buf = bytes.Buffer{}
	}
	w.buf.Reset()
	idle := maxSilence
	if w.frames == 0 {
		idle = negotiationTime
	}
	// A frame that is there already belongs to the request of the one before:
	// macros precede their command.
	if w.frames > 0 && w.in.Buffered() == 0 && !w.Answered() {
		return io.EOF
	}
	if !w.Await(w.in, idle) {
		return io.EOF
	}
	if _, err := io.CopyN(&w.buf, w.in, 4); err != nil {
		return brokenOff(err)
	}
	length := binary.BigEndian.Uint32(w.buf.Bytes())
	if length < 1 || length > maxFrame {
		return malformed("frame of %d octets, want 1 to %d", length, maxFrame)
	}
	// The room grows with what comes, not with what was announced.
	if _, err := io.CopyN(&w.buf, w.in, int64(length)); err != nil {
		return brokenOff(err)
	}
	w.frames++
	return checkFrame(w.buf.Bytes()[4:], w.frames == 1)
}

func brokenOff(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("milter frame: %w", err)
}

// Close closes the connection for the library, which does so at the end of the
// session, when it is done with everything.
func (w *wire) Close() error {
	err := w.Conn.Close()
	w.once.Do(func() { close(w.closed) })
	return err
}

// SetDeadline does nothing.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
