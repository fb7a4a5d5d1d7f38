package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// moodyHost is a distant host over whose connections some trouble comes now and then,
// another over each.
type moodyHost struct {
	distantHost
	mu    sync.Mutex
	chaos *rand.Rand
	calm  float64 // the part of the connections without trouble
	only  *mood   // what comes over those with it; nil: any
	ways  *[2]way // of the two behind its name; nil: both answer as a distant host does
}

// mood is what comes over a connection at its nth command.
type mood struct {
	at   int
	what string
}

var moods = []string{
	"hangs up", "hangs up behind", "is silent", "is silent within a line", "says it twice", "says yes too", "says yes later", "says no too", "says 421 too",
	"leaves one out", "is slow", "is slow from now on", "holds back", "says 450", "says 421", "says 554", "lingers",
}

func (h *moodyHost) draw(n int) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.chaos.IntN(n)
}

func (h *moodyHost) mood() mood {
	if float64(h.draw(1000)) < 1000*h.calm {
		return mood{at: -1}
	}
	if h.only != nil {
		return *h.only
	}
	m := mood{h.draw(14), moods[h.draw(len(moods))]}
	if h.holds && strings.HasPrefix(m.what, "says yes") || h.holds && m.what == "says it twice" {
		// It would set off when the next question has come, and look like the reply to that.
		m.at = -1
	}
	return m
}

func (h *moodyHost) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-time.After(roundTrip):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if h.calm < 1 && h.draw(20) == 0 {
		return nil, errors.New("connection refused")
	}
	here, near := net.Pipe()
	far, there := net.Pipe()
	h.sessions.Add(1)
	closed := sync.OnceFunc(h.opened())
	h.running.Go(func() { h.carry(near, far) })
	h.running.Go(func() { h.carryBack(far, near) })
	h.running.Go(func() {
		h.serve(there)
		closed()
		_ = there.Close()
	})
	return &countedConn{here, closed}, nil
}

// countedConn is a connection that counts until either side closes it.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	c.closed()
	return c.Conn.Close()
}

func (h *moodyHost) serve(conn net.Conn) {
	in, out := bufio.NewReader(conn), bufio.NewWriter(conn)
	m, slow, which := h.mood(), false, h.draw(2)
	_, _ = fmt.Fprintf(out, "220 fake%d.test ESMTP\r\n", which)
	errs := 0
	for n := 0; ; n++ {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSpace(line)
		said, refused := h.reply(line)
		if h.ways != nil {
			said, refused = h.ways[which].reply(line, said)
		}
		if refused {
			errs++
		}
		if errs > softErrorLimit {
			time.Sleep(time.Second)
		}
		about := line != "QUIT" && !strings.HasPrefix(line, "EHLO")
		if n >= m.at && m.at >= 0 && (about || m.what == "lingers") {
			if m.what != "lingers" || line == "QUIT" {
				m.at = -1
			}
			switch m.what {
			case "hangs up":
				return
			case "hangs up behind":
				_, _ = io.WriteString(out, said+"\r\n")
				_ = out.Flush()
				return
			case "is silent", "is silent within a line":
				if m.what == "is silent within a line" {
					_, _ = io.WriteString(out, said[:h.draw(len(said))])
				}
				_ = out.Flush()
				_, _ = io.Copy(io.Discard, in)
				return
			case "says it twice":
				said += "\r\n" + said
			case "says yes too":
				said += "\r\n250 2.1.5 Ok"
			case "says yes later":
				_, _ = io.WriteString(out, said+"\r\n")
				_ = out.Flush()
				time.Sleep(time.Duration(1+h.draw(40)) * time.Millisecond)
				said = "250 2.1.5 Ok"
			case "says no too":
				said += "\r\n" + unasked
			case "says 421 too":
				_, _ = io.WriteString(out, said+"\r\n421 4.7.0 too many errors\r\n")
				_ = out.Flush()
				return
			case "leaves one out":
				continue
			case "is slow":
				time.Sleep(time.Duration(h.draw(3000)) * time.Millisecond)
			case "is slow from now on":
				slow = true
			case "holds back":
				time.Sleep(5 * time.Second)
			case "says 450":
				said = "450 4.2.0 greylisted"
			case "says 421":
				said = "421 4.7.0 too many errors"
			case "says 554":
				said = "554 5.7.1 go away"
			case "lingers":
				if line == "QUIT" {
					time.Sleep(time.Duration(h.draw(5000)) * time.Millisecond)
				}
			}
		}
		if slow {
			time.Sleep(time.Duration(h.draw(300)) * time.Millisecond)
		}
		if h.draw(4) == 0 && strings.HasPrefix(said, "550 5.1.1") && !strings.Contains(said, "\n") {
			said = "550-" + said[4:] + "\r\n550 5.1.1 sorry"
		}
		_, _ = io.WriteString(out, said+"\r\n")
		if strings.HasPrefix(said, "221") {
			_ = out.Flush()
			return
		}
	}
}
