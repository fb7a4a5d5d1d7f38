package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"postwhere/policy"
)

// wire is the connection under a session. go-smtp carries the session's
// beginning and its end; what it cannot do is here: the reply to a question as
// it was, all of it (go-smtp drops the text of a 2xx and reads replies whose
// lines disagree), a look at whether the stream is in step, one deadline for all
// that belongs to a question, and the trace.
type wire struct {
	net.Conn
	socket   net.Conn // under TLS; Conn itself without
	gate     *gate    // between the two; nil without TLS
	in       *bufio.Reader
	greeting string // the first line that was read
	heard    int    // octets that go-smtp has read
	trace    func(sent bool, line string)
	hide     func(string) string // while what is sent is not for the trace; takes it out of what comes back
	again    string              // the greeting, for go-smtp to read once more
	partial  []byte              // what was read of a line that the trace has not shown
}

// errOutOfStep: the host said something that it was not asked.
var errOutOfStep = errors.New("the host said something that it was not asked")

func newWire(conn net.Conn) *wire {
	return &wire{Conn: conn, socket: conn, in: bufio.NewReaderSize(conn, 4096)}
}

// secure puts TLS, which has been agreed on, on the connection.
func (w *wire) secure(conn net.Conn) {
	w.Conn = conn
	w.in.Reset(conn)
}

// repeatGreeting lets go-smtp read the greeting once more: after STARTTLS there
// is none, but a new client waits for it.
func (w *wire) repeatGreeting() { w.again = w.greeting + "\r\n" }

// SetDeadline does nothing: go-smtp sets and clears one for each command, while
// ours come from the context of the question (see within).
func (w *wire) SetDeadline(time.Time) error { return nil }

// Read gives go-smtp one line at most, so that it cannot hold back in its own
// buffer what belongs to a question of ours.
func (w *wire) Read(p []byte) (int, error) {
	if w.heard > maxReplyLine*maxReplyLines { // go-smtp would read on until its memory is full
		return 0, fmt.Errorf("%w: more than %d octets", errReply, w.heard)
	}
	if w.again != "" {
		n := copy(p, w.again)
		w.again = w.again[n:]
		return n, nil
	}
	if _, err := w.in.Peek(1); err != nil {
		return 0, err
	}
	ready, _ := w.in.Peek(w.in.Buffered())
	if end := bytes.IndexByte(ready, '\n'); end >= 0 {
		ready = ready[:end+1]
	}
	n := copy(p, ready)
	w.heard += n
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
	switch {
	case w.trace != nil && w.hide != nil:
		w.trace(false, w.hide(text))
	case w.trace != nil:
		w.trace(false, text)
	}
}

// Write sends a line, for go-smtp too. The stream must be in step: what is there
// unread would be taken for the reply to it.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.inStep(); err != nil {
		return 0, err
	}
	switch {
	case w.trace != nil && w.hide != nil:
		w.trace(true, hidden)
	case w.trace != nil:
		w.trace(true, printable(string(bytes.TrimRight(p, "\r\n"))))
	}
	return w.Conn.Write(p)
}

// command sends a line and reads the whole reply to it. Nothing may follow it but
// the 421 of a host that ends the connection, which the next line will run into.
func (w *wire) command(line string) (policy.Reply, error) {
	if err := w.send(line); err != nil {
		return policy.Reply{}, err
	}
	reply, err := readReply(w.in)
	if err != nil {
		return policy.Reply{}, err
	}
	if w.trace != nil {
		w.trace(false, reply.String())
	}
	if errors.Is(w.inStep(), errOutOfStep) && !w.isGoodbye() {
		return policy.Reply{}, errOutOfStep
	}
	return reply, nil
}

// isQuiet tells whether the host says nothing until then, and does not hang up. It is not
// known if ctx ends before.
func (w *wire) isQuiet(ctx context.Context, until time.Time) bool {
	_ = w.Conn.SetReadDeadline(until)
	if isOver(ctx) { // within has set its own before
		return false
	}
	_, err := w.in.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded) && !time.Now().Before(until)
}

// send sends lines, all at once.
func (w *wire) send(lines ...string) error {
	return sendTo(w, lines)
}

// sendBehind sends lines behind others, the replies to which may be there already.
func (w *wire) sendBehind(lines ...string) error {
	return sendTo(w.Conn, lines)
}

func sendTo(out io.Writer, lines []string) error {
	for _, line := range lines {
		if strings.ContainsFunc(line, unicode.IsControl) {
			return fmt.Errorf("not sent, for it would break the dialogue: %q", line)
		}
	}
	_, err := io.WriteString(out, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

// isGoodbye tells whether what is unread is a 421, with which a host may end a
// connection at any time (RFC 5321 section 3.8): so does Postfix, right behind the
// refusal that was one too many.
func (w *wire) isGoodbye() bool {
	_, _ = w.in.Peek(1) // fills the buffer
	said, _ := w.in.Peek(min(w.in.Buffered(), 3))
	return string(said) == "421"
}

// inStep is look for the midst of a dialogue. Under TLS what waits in the socket
// may be a session ticket, so only what is decrypted already counts.
func (w *wire) inStep() error {
	if w.Conn != w.socket {
		return w.readAhead()
	}
	return w.look()
}

// within bounds all reading and writing by ctx and by a timeout, until the
// returned function is called; nothing of it is left over for the next question.
func (w *wire) within(ctx context.Context, timeout time.Duration) (done func()) {
	deadline := time.Now().Add(timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	_ = w.socket.SetDeadline(deadline) // TLS may be put on it meanwhile
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = w.socket.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-stopped
		}
	}
}

// isOver tells whether a context has ended. A connection's deadline that was
// taken from it may end a moment before it does.
func isOver(ctx context.Context) bool {
	d, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(d)
}

// look tells, without waiting, whether the stream is in step: nil if it is,
// errOutOfStep if there is something unasked in it, as the 421 is that Postfix
// says to who was idle for too long, and io.EOF if the host hung up.
func (w *wire) look() error {
	if w.in.Buffered() > 0 {
		return errOutOfStep
	}
	sc, ok := w.socket.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var peeked error
	err = raw.Control(func(fd uintptr) {
		n, _, peeked = syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	switch {
	case err != nil:
		return err
	case errors.Is(peeked, syscall.EAGAIN) && w.Conn != w.socket:
		return w.readAhead()
	case errors.Is(peeked, syscall.EAGAIN):
		return nil
	case peeked != nil:
		return peeked
	case n == 0:
		return io.EOF
	case w.Conn != w.socket:
		return w.lookThroughTLS()
	}
	return errOutOfStep
}

// gate is under TLS, and can be shut: then what TLS has read from the socket already
// can be told from what has not come yet. It is used by one goroutine.
type gate struct {
	net.Conn
	shut bool
}

func (g *gate) Read(p []byte) (int, error) {
	if g.shut {
		return 0, os.ErrDeadlineExceeded // which TLS does not take for the end
	}
	return g.Conn.Read(p)
}

// readAhead tells, without waiting, whether TLS has read something unasked. It reads
// several records from the socket at once, and shows one.
func (w *wire) readAhead() error {
	if w.gate != nil && w.in.Buffered() == 0 {
		w.gate.shut = true
		_, _ = w.in.Peek(1)
		w.gate.shut = false
	}
	if w.in.Buffered() > 0 {
		return errOutOfStep
	}
	return nil
}

// lookThroughTLS reads what is in the socket of a connection that nobody uses: it
// is a session ticket, or something that we have not asked for.
func (w *wire) lookThroughTLS() error {
	_ = w.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := w.in.Peek(1)
	switch {
	case err == nil:
		return errOutOfStep
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return err
}

// isEnd tells whether an error is the host's hanging up.
func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
