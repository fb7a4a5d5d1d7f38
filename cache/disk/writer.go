package disk

import (
	"io"
	"time"

	"postwhere/cache"
)

// Writer puts what a file is told into frames.
type Writer struct {
	to      io.Writer // where frames go at once; nil: they are gathered in out
	out     []byte
	payload []byte // of a frame of owners that is not full yet
	number  uint64 // of the last frame
	size    int64  // of all frames
	err     error
	// Records are how many owners were told of.
	Records int
}

// Owned tells of an owner.
func (w *Writer) Owned(e cache.Entry) {
	w.begin()
	w.payload = appendOwned(w.payload, e)
}

// Gone tells that there is an owner of that name no more.
func (w *Writer) Gone(n cache.Name, at time.Time) {
	w.begin()
	w.payload = appendGone(w.payload, n, at)
}

// begin begins a record.
func (w *Writer) begin() {
	w.Records++
	if len(w.payload) >= frameRoom {
		w.flush()
	}
	if len(w.payload) == 0 {
		w.payload = append(w.payload, frameOwners)
	}
}

// Note keeps a note under a name in place of the one before; an empty one is none.
// A note above 60 MB is not kept.
func (w *Writer) Note(name string, note []byte) {
	payload := noteFrame(name, note)
	if len(payload) > maxFrame {
		payload = noteFrame(name, nil)
	}
	w.frame(payload)
}

// flush ends the frame of owners.
func (w *Writer) flush() {
	if len(w.payload) > 0 {
		w.frame(w.payload)
		w.payload = w.payload[:0]
	}
}

func (w *Writer) frame(payload []byte) {
	w.number++
	w.out = appendFrame(w.out, w.number, payload)
	w.size += frameHead + int64(len(payload))
	if w.to != nil {
		if w.err == nil {
			_, w.err = w.to.Write(w.out)
		}
		w.out = w.out[:0]
	}
}
