package testbed

import (
	"net/textproto"
	"strconv"
	"strings"
	"testing"
)

// Client is a plain SMTP client.
type Client struct{ Conn *textproto.Conn }

// DialSMTP connects to a server, says EHLO, and stays until the test ends.
func DialSMTP(t *testing.T, addr string) *Client {
	t.Helper()
	conn, err := textproto.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{conn}
	t.Cleanup(func() { _ = conn.Close() })
	if _, _, err := conn.ReadResponse(220); err != nil {
		t.Fatal(err)
	}
	c.Cmd(t, "EHLO client.test", "250")
	return c
}

// Say sends a line and returns the reply to it in one line.
func (c *Client) Say(t *testing.T, line string) string {
	t.Helper()
	if err := c.Conn.PrintfLine("%s", line); err != nil {
		t.Fatal(err)
	}
	code, text, err := c.Conn.ReadResponse(0)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return strconv.Itoa(code) + " " + text
}

// Cmd sends a line and wants a reply that begins with something.
func (c *Client) Cmd(t *testing.T, line, want string) {
	t.Helper()
	if got := c.Say(t, line); !strings.HasPrefix(got, want) {
		t.Fatalf("%s: got %q, want %s…", line, got, want)
	}
}

// Mail begins a message.
func (c *Client) Mail(t *testing.T) {
	t.Helper()
	c.Cmd(t, "MAIL FROM:<sender@elsewhere.example>", "250")
}

// Rcpt names a recipient, and wants a reply that begins with something.
func (c *Client) Rcpt(t *testing.T, rcpt, want string) {
	t.Helper()
	c.Cmd(t, "RCPT TO:<"+rcpt+">", want)
}

// Data sends the text of a message.
func (c *Client) Data(t *testing.T, subject string) {
	t.Helper()
	c.Cmd(t, "DATA", "354")
	c.Cmd(t, "Subject: "+subject+"\r\nFrom: sender@elsewhere.example\r\n\r\nHello.\r\n.", "250")
}

// Send sends a message that is accepted for all recipients.
func (c *Client) Send(t *testing.T, subject string, rcpts ...string) {
	t.Helper()
	c.Mail(t)
	for _, rcpt := range rcpts {
		c.Rcpt(t, rcpt, "250")
	}
	c.Data(t, subject)
	c.Cmd(t, "QUIT", "221")
}

// Wants asks for one recipient and wants a reply that begins with something.
func (c *Client) Wants(t *testing.T, rcpt, want string) {
	t.Helper()
	c.Mail(t)
	c.Rcpt(t, rcpt, want)
	c.Cmd(t, "QUIT", "221")
}
