package main

import (
	"context"
	"io"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postwhere/cmd/postwhere/config"
	"postwhere/policy"
)

// parse reads a configuration. Memory is kept only in a file that it names: what a
// daemon of this machine keeps is not the tests'.
func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.toml", text)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Cache.File == config.DefaultCacheFile {
		cfg.Cache.File = ""
	}
	return cfg
}

// startDaemon runs a daemon by a configuration until the test ends, and records
// what it decides.
func startDaemon(t *testing.T, text string) (*daemon, *recorder) {
	t.Helper()
	cfg := parse(t, text)
	r := &recorder{}
	d := newDaemon(newMaillog(io.MultiWriter(testWriter{t}, r)))
	log := d.observe
	d.observe = func(q policy.Request, f policy.Finding, err error, took time.Duration) {
		r.add(event{q, f, err})
		log(q, f, err, took)
	}
	if err := d.adopt(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = d.shutdown(ctx) // Postfix may hold its connections longer than we wait
	})
	return d, r
}

// event is one decision.
type event struct {
	request policy.Request
	finding policy.Finding
	err     error
}

// recorder has what a daemon decided and logged.
type recorder struct {
	mu     sync.Mutex
	events []event
	log    strings.Builder
}

// Write takes a line of the log.
func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

// logged tells whether the log has a text.
func (r *recorder) logged(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Contains(r.log.String(), text)
}

// count returns how often the log has a text.
func (r *recorder) count(text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.log.String(), text)
}

func (r *recorder) add(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
}

func (r *recorder) all() []event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]event(nil), r.events...)
}

// testWriter puts the daemon's log into the test's.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() == nil { // after the test its log is closed
		w.t.Log(strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

// client is a plain SMTP client.
type client struct{ conn *textproto.Conn }

func dialSMTP(t *testing.T, addr string) *client {
	t.Helper()
	conn, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{conn}
	t.Cleanup(func() { _ = conn.Close() })
	if _, _, err := conn.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	c.cmd(t, "EHLO client.test", "250")
	return c
}

// say sends a line and returns the reply to it in one line.
func (c *client) say(t *testing.T, line string) string {
	t.Helper()
	if err := c.conn.PrintfLine("%s", line); err != nil {
		t.Fatal(err)
	}
	code, text, err := c.conn.ReadResponse(0)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strconv.Itoa(code) + " " + text
}

// cmd sends a line and wants a reply that begins with something.
func (c *client) cmd(t *testing.T, line, want string) {
	t.Helper()
	if got := c.say(t, line); !strings.HasPrefix(got, want) {
		t.Fatalf("%s: got %q, want %s…", line, got, want)
	}
}

func (c *client) mail(t *testing.T) {
	t.Helper()
	c.cmd(t, "MAIL FROM:<sender@elsewhere.example>", "250")
}

func (c *client) rcpt(t *testing.T, rcpt, want string) {
	t.Helper()
	c.cmd(t, "RCPT TO:<"+rcpt+">", want)
}

func (c *client) data(t *testing.T, subject string) {
	t.Helper()
	c.cmd(t, "DATA", "354")
	c.cmd(t, "Subject: "+subject+"\r\nFrom: sender@elsewhere.example\r\n\r\nHello.\r\n.", "250")
}

// send sends a message that is accepted for all recipients.
func (c *client) send(t *testing.T, subject string, rcpts ...string) {
	t.Helper()
	c.mail(t)
	for _, rcpt := range rcpts {
		c.rcpt(t, rcpt, "250")
	}
	c.data(t, subject)
	c.cmd(t, "QUIT", "221")
}

// wants asks for one recipient and wants a reply that begins with something.
func (c *client) wants(t *testing.T, rcpt, want string) {
	t.Helper()
	c.mail(t)
	c.rcpt(t, rcpt, want)
	c.cmd(t, "QUIT", "221")
}

// disconnects finds Postfix's summary of a session: verb, accepted, all.
var disconnects = regexp.MustCompile(`disconnect from .* (commands)=(\d+)/(\d+)`)

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
