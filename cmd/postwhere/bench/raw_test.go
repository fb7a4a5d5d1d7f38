package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// rawRate returns the look-ups a second of the raw client.
func rawRate(b *testing.B, addrs []string, workers, lookups int, known bool) float64 {
	b.Helper()
	clients := make(chan []*rawClient, workers)
	for range workers {
		var three []*rawClient
		for _, addr := range addrs {
			three = append(three, &rawClient{b: b, addr: addr})
		}
		clients <- three
	}
	begun := time.Now()
	askers(workers, lookups, func(i int) {
		rcpt := rawRecipient(i, known)
		three := <-clients
		var asking sync.WaitGroup
		for _, c := range three {
			asking.Go(func() { c.ask(rcpt) })
		}
		asking.Wait()
		clients <- three
	})
	rate := float64(lookups) / time.Since(begun).Seconds()
	for range workers {
		for _, c := range <-clients {
			c.quit()
		}
	}
	return rate
}

// rawRefusals is after how many a raw client changes its connection.
const rawRefusals = 9

// rawClient sends and reads.
type rawClient struct {
	b        *testing.B
	addr     string
	conn     net.Conn
	in       *bufio.Reader
	refusals int
}

func (c *rawClient) ask(rcpt string) {
	if c.refusals == rawRefusals {
		c.quit()
	}
	if c.conn == nil {
		c.open()
	}
	c.write("VRFY " + rcpt + "\r\n")
	c.hear()
}

// open connects and introduces us.
func (c *rawClient) open() {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		c.b.Error(err)
		return
	}
	c.conn, c.in, c.refusals = conn, bufio.NewReader(conn), 0
	c.read()
	c.write("EHLO raw.test\r\n")
	c.read()
}

func (c *rawClient) write(lines string) {
	if _, err := io.WriteString(c.conn, lines); err != nil {
		c.b.Error(err)
	}
}

// hear reads the reply to a question.
func (c *rawClient) hear() {
	if strings.HasPrefix(c.read(), "550") {
		c.refusals++
	}
}

func (c *rawClient) read() string {
	for {
		line, err := c.in.ReadString('\n')
		if err != nil || len(line) < 4 {
			c.b.Errorf("%q %v", line, err)
			return ""
		}
		if line[3] == ' ' {
			return line
		}
	}
}

func (c *rawClient) quit() {
	if c.conn != nil {
		_, _ = io.WriteString(c.conn, "QUIT\r\n")
		_ = c.conn.Close()
		c.conn = nil
	}
}

// rawRecipient is the ith recipient that raw clients ask about.
func rawRecipient(i int, known bool) string {
	if known {
		return benchUser(i%3, (i/3)%benchUsers) + "@example.com"
	}
	return fmt.Sprintf("stranger%d@example.com", i)
}

// rawQuestion is a recipient, and where to tell that the host has answered.
type rawQuestion struct {
	rcpt string
	done func()
}

// rawCrowdRate returns the look-ups a second that many askers have of raw clients
// with so many connections to each host, all of them always open or being opened:
// each puts as many RCPT TO in one write as may be refused on it, out of one line.
func rawCrowdRate(b *testing.B, addrs []string, connections, workers, lookups int, known bool) float64 {
	b.Helper()
	var open sync.WaitGroup
	var ready sync.WaitGroup
	lines := make([]chan rawQuestion, len(addrs))
	for i, addr := range addrs {
		lines[i] = make(chan rawQuestion, workers)
		for range connections {
			ready.Add(1)
			open.Go(func() { (&rawClient{b: b, addr: addr}).serve(lines[i], ready.Done) })
		}
	}
	ready.Wait()
	_, rate := crowdRate(workers, lookups, func(i int) {
		var asking sync.WaitGroup
		asking.Add(len(lines))
		for _, line := range lines {
			line <- rawQuestion{rawRecipient(i, known), asking.Done}
		}
		asking.Wait()
	})
	for _, line := range lines {
		close(line)
	}
	open.Wait()
	return rate
}

// serve answers a line over one connection after the other; ready is called when
// the first is open.
func (c *rawClient) serve(line <-chan rawQuestion, ready func()) {
	for first := true; ; first = false {
		c.open()
		if first {
			ready()
		}
		for begins := true; c.refusals < rawRefusals; begins = false {
			questions := c.take(line)
			if len(questions) == 0 {
				c.quit()
				return
			}
			var lines strings.Builder
			if begins {
				lines.WriteString("MAIL FROM:<>\r\n")
			}
			for _, q := range questions {
				lines.WriteString("RCPT TO:<" + q.rcpt + ">\r\n")
			}
			c.write(lines.String())
			if begins {
				c.read()
			}
			for _, q := range questions {
				c.hear()
				q.done()
			}
		}
		c.quit()
	}
}

// take waits for a question, and takes those that stand behind it.
func (c *rawClient) take(line <-chan rawQuestion) []rawQuestion {
	q, ok := <-line
	if !ok {
		return nil
	}
	questions := []rawQuestion{q}
	for c.refusals+len(questions) < rawRefusals {
		select {
		case q, ok := <-line:
			if ok {
				questions = append(questions, q)
				continue
			}
		default:
		}
		break
	}
	return questions
}
