package main

import (
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

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
