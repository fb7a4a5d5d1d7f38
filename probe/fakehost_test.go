package probe

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What a fake host does instead of a reply, or behind it.
const (
	drop  = "\ue000drop"  // closes the connection
	reset = "\ue000reset" // sends RST
	hang  = "\ue000hang"  // says nothing more, until the client is gone
	mute  = "\ue000mute"  // says nothing to this, and listens on
)

// answerer says what a fake host replies: the lines without their ends, one of
// the above, lines and one of the above, or "" for the usual. verb is a command's
// first word in upper case, or GREETING; arg is the rest.
type answerer func(d *dialogue, verb, arg string) string

// fakeHost is a mail host that does as its test says.
type fakeHost struct {
	answer answerer
	addr   string

	mu        sync.Mutex
	dialogues []*dialogue
	open      int
	mostOpen  int
	conns     sync.WaitGroup
}

// dialogue is one connection to a fake host.
type dialogue struct {
	n     int // 1 for the host's first
	conn  net.Conn
	mu    *sync.Mutex
	heard []string
	bye   bool // QUIT was said
}

// newHost starts a fake host at a port of the loopback interface.
func newHost(t testing.TB, answer answerer) *fakeHost {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &fakeHost{answer: answer, addr: l.Addr().String()}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			h.begin(conn)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		accepting.Wait()
		h.cut()
		h.conns.Wait()
	})
	return h
}

// newPipeHost is a fake host without a network, for tests in which time is not
// real. Its connections are had by dial.
func newPipeHost(answer answerer) *fakeHost { return &fakeHost{answer: answer} }

func (h *fakeHost) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	h.begin(h.eager(server))
	return client, nil
}

// eagerConn writes without waiting until what it writes is read, as far as a socket
// does.
type eagerConn struct {
	net.Conn
	said  chan []byte
	ended chan struct{} // is closed by Close
	end   func()
}

func (h *fakeHost) eager(conn net.Conn) net.Conn {
	c := eagerConn{Conn: conn, said: make(chan []byte, 100), ended: make(chan struct{})}
	c.end = sync.OnceFunc(func() {
		close(c.ended)
		h.conns.Go(func() { _, _ = io.Copy(io.Discard, conn) }) // what the client writes until it hears of it
	})
	h.conns.Go(func() {
		defer func() { _ = conn.Close() }()
		for {
			var text []byte
			select {
			case text = <-c.said:
			case <-c.ended:
				if len(c.said) == 0 {
					return
				}
				text = <-c.said
			}
			if _, err := conn.Write(text); err != nil {
				c.end()
				return
			}
		}
	})
	return c
}

func (c eagerConn) Write(text []byte) (int, error) {
	select {
	case <-c.ended:
		return 0, net.ErrClosed
	case c.said <- bytes.Clone(text):
		return len(text), nil
	}
}

func (c eagerConn) Close() error {
	c.end()
	return nil
}

func (h *fakeHost) begin(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := &dialogue{n: len(h.dialogues) + 1, conn: conn, mu: &h.mu}
	h.dialogues = append(h.dialogues, d)
	h.open++
	h.mostOpen = max(h.mostOpen, h.open)
	h.conns.Go(func() {
		h.serve(d)
		_ = conn.Close()
	})
}

// cut closes all connections.
func (h *fakeHost) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range h.dialogues {
		_ = d.conn.Close()
	}
}

func (h *fakeHost) serve(d *dialogue) {
	ended := sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open--
	})
	defer ended()
	in := bufio.NewReader(d.conn)
	for verb, arg := "GREETING", ""; ; {
		reply := h.answer(d, verb, arg)
		if reply == "" {
			reply = usual(verb)
		}
		text, act := reply, ""
		if i := strings.IndexRune(reply, '\ue000'); i >= 0 {
			text, act = reply[:i], reply[i:]
		}
		if verb == "QUIT" || act == drop || act == reset {
			ended() // before the client can know
		}
		if text != "" && !d.say(text) {
			return
		}
		switch {
		case act == hang:
			_, _ = io.Copy(io.Discard, in)
			return
		case act == reset:
			_ = d.conn.(*net.TCPConn).SetLinger(0)
			return
		case act == drop || verb == "QUIT":
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, arg, _ = strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		d.note(line, verb == "QUIT")
	}
}

func (d *dialogue) note(line string, bye bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heard = append(d.heard, line)
	d.bye = d.bye || bye
}

// count is how often something that begins with prefix was heard.
func (d *dialogue) count(prefix string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, line := range d.heard {
		if strings.HasPrefix(line, prefix) {
			n++
		}
	}
	return n
}

// say sends lines; the last one without its end if it ends in an ellipsis.
func (d *dialogue) say(lines string) bool {
	text := strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n"
	if half, ok := strings.CutSuffix(lines, "…"); ok {
		text = half
	}
	_, err := io.WriteString(d.conn, text)
	return err == nil || errors.Is(err, io.ErrShortWrite)
}

func usual(verb string) string {
	switch verb {
	case "GREETING":
		return "220 fake.test ESMTP"
	case "EHLO", "LHLO":
		return "250-fake.test\n250 ENHANCEDSTATUSCODES"
	case "HELO":
		return "250 fake.test"
	case "MAIL":
		return "250 2.1.0 Ok"
	case "RCPT":
		return "550 5.1.1 User unknown"
	case "VRFY":
		return "502 5.5.1 VRFY command is disabled"
	case "QUIT":
		return "221 2.0.0 Bye"
	}
	return "500 5.5.2 " + verb + " is not in the script"
}

// connections is how many there were.
func (h *fakeHost) connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.dialogues)
}

// dialogue returns the nth connection.
func (h *fakeHost) dialogue(n int) *dialogue {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.dialogues[n-1]
}

// most is how many there were at once.
func (h *fakeHost) most() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mostOpen
}

// openNow is how many there are.
func (h *fakeHost) openNow() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// heard returns the commands of each connection that begin with one of verbs;
// all of them if there is none.
func (h *fakeHost) heard(verbs ...string) [][]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all [][]string
	for _, d := range h.dialogues {
		lines := slices.Clone(d.heard)
		if len(verbs) > 0 {
			lines = slices.DeleteFunc(lines, func(line string) bool {
				return !slices.ContainsFunc(verbs, func(v string) bool { return strings.HasPrefix(line, v) })
			})
		}
		all = append(all, lines)
	}
	return all
}

// count is how often the host was told something that begins with prefix.
func (h *fakeHost) count(prefix string) int {
	n := 0
	for _, lines := range h.heard(prefix) {
		n += len(lines)
	}
	return n
}

// isAbout tells whether a command's argument is an address that begins so. By
// chance, any short word may be within the nonsense address.
func isAbout(arg, local string) bool {
	return strings.HasPrefix(strings.TrimPrefix(arg, "TO:<"), local)
}

// has makes a host that has these local parts, by VRFY as Postfix if vrfy, and by
// RCPT.
func has(vrfy bool, locals ...string) answerer {
	return func(_ *dialogue, verb, arg string) string {
		address := strings.Trim(strings.TrimPrefix(strings.TrimSuffix(arg, " SMTPUTF8"), "TO:"), "<>")
		local, _, _ := strings.Cut(address, "@")
		switch known := slices.Contains(locals, local); {
		case verb == "VRFY" && vrfy && known:
			return "252 2.0.0 " + address
		case verb == "VRFY" && !vrfy:
			return "252 2.0.0 ask by RCPT"
		case verb == "RCPT" && known:
			return "250 2.1.5 Ok"
		case verb == "VRFY" || verb == "RCPT":
			return fmt.Sprintf("550 5.1.1 <%s>: Recipient address rejected: User unknown in virtual mailbox table", address)
		}
		return ""
	}
}
