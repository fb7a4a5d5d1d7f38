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
)

// wire is a connection as go-milter gets it. Each frame is read and checked as a
// whole before the library sees an octet of it, because the library panics at some
// that no MTA sends, in a goroutine of its own, and the process with it; and it
// makes room for the 512 MB that a peer may announce. Replies leave as a whole.
//
// The library's deadlines are ignored (one second for the negotiation, none for
// what follows): Conn has those of the other faces.
type wire struct {
	*server.Conn
	in    *bufio.Reader
	frame []byte       // what the library has yet to read of a frame, in in's buffer or in long
	long  bytes.Buffer // a frame that in's buffer is too small for
	out   []byte       // the reply that the library is writing
	begun bool         // there was a frame

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
	if len(w.frame) == 0 {
		if err := w.next(); err != nil {
			w.frame = nil
			if !errors.Is(err, io.EOF) {
				w.fault = err
			}
			return 0, io.EOF
		}
	}
	n := copy(p, w.frame)
	if w.frame = w.frame[n:]; len(w.frame) == 0 {
		w.long = bytes.Buffer{} // long frames are rare, and the next may be hours away
	}
	return n, nil
}

// next reads a frame. io.EOF says that there is none.
func (w *wire) next() error {
	if !w.isThere() {
		if !w.await() {
			return io.EOF
		}
		if !w.isThere() {
			w.Hurry()
		}
	}
	length, err := w.length()
	if err != nil {
		return err
	}
	if w.frame, err = w.whole(length); err != nil {
		return err
	}
	first := !w.begun
	w.begun = true
	return checkFrame(w.frame[headSize:], first)
}

// headSize is that of a frame's length.
const headSize = 4

// isThere tells whether a frame needs no more reading. If it comes with the one
// before it is a part of that request: macros precede their command.
func (w *wire) isThere() bool {
	if w.in.Buffered() < headSize {
		return false
	}
	length, err := w.length()
	return err == nil && w.in.Buffered() >= headSize+length
}

// await waits for a request. It returns false if there is none.
func (w *wire) await() bool {
	if !w.begun {
		return w.Await(w.in, negotiationTime)
	}
	return w.Answered() && w.Await(w.in, maxSilence)
}

// length returns the length of the frame that begins.
func (w *wire) length() (int, error) {
	head, err := w.in.Peek(headSize)
	if err != nil {
		return 0, brokenOff(err)
	}
	length := binary.BigEndian.Uint32(head)
	if length < 1 || length > maxFrame {
		return 0, malformed("frame of %d octets, want 1 to %d", length, maxFrame)
	}
	return int(length), nil
}

// whole returns a frame with its head, valid until the next is read.
func (w *wire) whole(length int) ([]byte, error) {
	size := headSize + length
	if size <= w.in.Size() {
		frame, err := w.in.Peek(size)
		if err != nil {
			return nil, brokenOff(err)
		}
		_, err = w.in.Discard(size)
		return frame, err
	}
	// The room grows with what comes, not with what was announced.
	if _, err := io.CopyN(&w.long, w.in, int64(size)); err != nil {
		return nil, brokenOff(err)
	}
	return w.long.Bytes(), nil
}

// Write takes the parts of a reply that the library writes, and sends it when it is
// complete.
func (w *wire) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	if len(w.out) < headSize || len(w.out) < headSize+int(binary.BigEndian.Uint32(w.out)) {
		return len(p), nil
	}
	_, err := w.Conn.Write(w.out)
	w.out = w.out[:0]
	return len(p), err
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
