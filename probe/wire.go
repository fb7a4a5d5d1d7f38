package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"postwhere/policy"
)

// wire is the connection under a session. go-smtp carries the session's
// beginning and its end; what it cannot do is here: the reply to a question as
// it was, all of it (go-smtp drops the text of a 2xx and reads replies whose
// lines disagree), a look at whether the stream is in step, one deadline for all
// that belongs to a question, and the trace.
type wire struct {
	net.Conn
	in       *bufio.Reader
	greeting string // the first line that was read
	trace    func(sent bool, line string)
	partial  []byte // what was read of a line that the trace has not shown
}

// errOutOfStep: the host said something that it was not asked.
var errOutOfStep = errors.New("the host said something that it was not asked")

func newWire(conn net.Conn) *wire {
	return &wire{Conn: conn, in: bufio.NewReaderSize(conn, 4096)}
}

// SetDeadline does nothing: go-smtp sets and clears one for each command, while
// ours come from the context of the question (see within).
func (w *wire) SetDeadline(time.Time) error { return nil }

// Read gives go-smtp one line at most, so that it cannot hold back in its own
// buffer what belongs to a question of ours.
func (w *wire) Read(p []byte) (int, error) {
	if _, err := w.in.Peek(1); err != nil {
		return 0, err
	}
	ready, _ := w.in.Peek(w.in.Buffered())
	if end := bytes.IndexByte(ready, '\n'); end >= 0 {
		ready = ready[:end+1]
	}
	n := copy(p, ready)
	w.show(p[:n])
	_, _ = w.in.Discard(n)
	return n, nil
}

// show traces what go-smtp reads, line by line, and keeps the greeting.
func (w *wire) show(read []byte) {
	if w.trace == nil && w.greeting != "" {
		return
	}
	w.partial = append(w.partial, read...)
	line, ok := bytes.CutSuffix(w.partial, []byte("\n"))
	if !ok && len(w.partial) <= maxReplyLine {
		return
	}
	text := printable(string(bytes.TrimSuffix(line, []byte("\r"))))
	w.partial = w.partial[:0]
	if w.greeting == "" {
		w.greeting = text
	}
	if w.trace != nil {
		w.trace(false, text)
	}
}

// Write sends for go-smtp.
func (w *wire) Write(p []byte) (int, error) {
	if w.trace != nil {
		w.trace(true, printable(string(bytes.TrimRight(p, "\r\n"))))
	}
	return w.Conn.Write(p)
}

// command sends a line and reads the whole reply to it. The stream must be in
// step: nothing may be unread before, and nothing may follow.
func (w *wire) command(line string) (policy.Reply, error) {
	if w.in.Buffered() > 0 {
		return policy.Reply{}, errOutOfStep
	}
	if _, err := w.Write([]byte(line + "\r\n")); err != nil {
		return policy.Reply{}, err
	}
	reply, err := readReply(w.in)
	if err != nil {
		return policy.Reply{}, err
	}
	if w.trace != nil {
		w.trace(false, reply.String())
	}
	if w.in.Buffered() > 0 {
		return policy.Reply{}, errOutOfStep
	}
	return reply, nil
}

// within bounds all reading and writing by ctx and by a timeout, until the
// returned function is called.
func (w *wire) within(ctx context.Context, timeout time.Duration) (done func()) {
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = w.Conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = w.Conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// usable looks, without waiting, whether a kept connection can be used again:
// neither closed by the host nor with something unasked in it, as the 421 is
// that Postfix says to who was idle for too long.
func (w *wire) usable() bool {
	if w.in.Buffered() > 0 {
		return false
	}
	sc, ok := w.Conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN)
	})
	return err == nil && quiet
}

// isEnd tells whether an error is the host's hanging up.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
